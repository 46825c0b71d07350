export const birds: string[] = ["robin", "wren"];

if (import.meta.hot) {
  import.meta.hot.accept();
}
