const window = {;
document.querySelector("#app").textContent = "never shown";
