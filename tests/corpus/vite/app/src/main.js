import { birds } from "./birds.ts";
import "./style.css";

document.querySelector("#birds").textContent = birds.join(", ");
