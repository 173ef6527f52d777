import { mount } from "svelte";
import "./app.css";
import "./fonts.css";
import App from "./App.svelte";
import { url } from "./lib/url.svelte";

url.listen();
mount(App, { target: document.getElementById("app")! });
