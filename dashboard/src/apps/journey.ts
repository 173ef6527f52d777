import Journey from "./Journey.svelte";
import { start } from "./start";

start("threadline-journey", Journey);
