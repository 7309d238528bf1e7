import { start } from './start';

if (!window.beckon?.decision) start(document.currentScript as never);
