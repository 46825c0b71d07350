import { birds } from "./birds.js";
import "./style.css";

document.querySelector("#birds").textContent = birds.join(", ");
