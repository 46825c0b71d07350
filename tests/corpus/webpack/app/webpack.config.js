module.exports = {
  mode: "development",
  entry: "./src/index.js",
  devServer: { host: "127.0.0.1", static: false },
};
