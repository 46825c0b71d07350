export const tides = ["06:10", "18:35"];
