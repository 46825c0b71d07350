import { tides } from "./tides.js";

document.title = tides.join(" ");
