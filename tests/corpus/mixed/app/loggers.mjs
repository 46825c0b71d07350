// Loggers of Node.js that write JSON, and one that writes for people.

class OvenCold extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "OvenCold";
    this.code = "E_OVEN";
  }
}

function bake() {
  try {
    return { rye: 1 }.wheat.loaves;
  } catch (cause) {
    throw new OvenCold("no wheat today", { cause });
  }
}

function caught() {
  try {
    bake();
  } catch (problem) {
    return problem;
  }
}

async function pino(options) {
  const { default: make } = await import("pino");
  const log = make({ level: "trace", ...options });
  log.trace("flour weighed");
  log.debug({ grams: 500, kinds: ["rye", "spelt"] }, "dough mixed");
  log.info({ errors: 0 }, "fatal words in a message of level info");
  log.warn({ oven: { name: "big", celsius: 180.5 } }, "oven is slow");
  log.error(caught(), "baking failed");
  log.fatal("shop closes");
  log.child({ shelf: 2 }).info({ req: { method: "GET", url: "/bread" }, res: { statusCode: 200 }, responseTime: 12 }, "request completed");
}

async function bunyan() {
  const { default: library } = await import("bunyan");
  const log = library.createLogger({ name: "bakery", level: "trace", serializers: library.stdSerializers });
  log.trace("flour weighed");
  log.info({ loaves: 3 }, "dough mixed");
  log.warn("oven is slow");
  log.error({ err: caught() }, "baking failed");
  log.fatal("shop closes");
}

async function winston() {
  const { default: library } = await import("winston");
  const { combine, errors, json, timestamp } = library.format;
  const log = library.createLogger({
    level: "silly",
    format: combine(errors({ stack: true }), timestamp(), json()),
    transports: [new library.transports.Console()],
  });
  log.silly("flour weighed");
  log.debug("dough mixed");
  log.http("GET /bread 200");
  log.info("0 errors", { loaves: 3 });
  log.warn("oven is slow");
  log.error(caught());
}

const writers = {
  pino: () => pino({}),
  pretty: () => pino({ transport: { target: "pino-pretty", options: { colorize: true, translateTime: "SYS:HH:MM:ss" } } }),
  bunyan,
  winston,
};
await writers[process.argv[2]]();
