export const birds = ["robin", "wren"];

if (import.meta.hot) {
  import.meta.hot.accept();
}
