// The shop's own scripts. Every page works without them; none of them is Beckon's.
import { watchConsent } from './consent.js';
import { watchForms } from './forms.js';
import { watchPanel } from './panel.js';

watchForms();
watchConsent();
watchPanel();
