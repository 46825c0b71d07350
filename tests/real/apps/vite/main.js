document.querySelector("#app").textContent = "the window is lit";
