import { configure } from './settings';
import { start } from './start';

const { dataset, src } = document.currentScript as HTMLScriptElement;
if (!window.beckon?.decision) {
  configure(dataset, src);
  start();
}
