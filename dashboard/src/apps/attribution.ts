import Attribution from "./Attribution.svelte";
import { start } from "./start";

start("threadline-attribution", Attribution);
