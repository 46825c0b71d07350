//! The wasmtime engine, and the one thread that lets time run out for guests.
//!
//! Guests are stopped by epochs: compiled code checks a counter, and a ticker advances it. The ticker only runs
//! while some guest does, so an idle daemon wakes for nobody.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use wasmparser::WasmFeatures;
use wasmtime::{Config, Engine, OptLevel};

use crate::bounds;

/// The features of WebAssembly that components may use: what compilers emit for a plain program, and several memories,
/// which encoders need for adapters. Files are checked against exactly these, and the engine has no others: the less
/// there is, the less a hostile file can reach. No threads, garbage collection, exceptions or 64-bit memories; a
/// component needs none of them to read lines.
pub(super) const FEATURES: WasmFeatures = WasmFeatures::WASM2
    .difference(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::COMPONENT_MODEL);

/// The engine all plugins of a daemon share, with its ticker.
#[derive(Clone)]
pub struct PluginEngine {
    engine: Engine,
    ticker: Arc<Ticker>,
}

impl PluginEngine {
    /// Configures the engine and starts its ticker thread, which ends with the last clone of the engine.
    pub fn new() -> wasmtime::Result<Self> {
        let engine = Engine::new(&config())?;
        let ticker = Arc::new(Ticker::default());
        spawn_ticker(&engine, &ticker)?;
        Ok(Self { engine, ticker })
    }

    /// Returns wasmtime's engine.
    pub fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    /// Lets epochs pass until the guard is dropped. Every call into a guest happens under one.
    pub(super) fn running(&self) -> Running<'_> {
        let mut active = lock(&self.ticker.active);
        *active += 1;
        if *active == 1 {
            self.ticker.wake.notify_one();
        }
        Running(&self.ticker)
    }
}

/// Returns the epoch deadline, in ticks, that gives a call at least `limit`.
pub(super) fn ticks(limit: Duration) -> u64 {
    let ticks = limit.as_nanos().div_ceil(bounds::PLUGIN_TICK.as_nanos());
    u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(bounds::PLUGIN_STACK_BYTES)
        // Sync calls only: the machinery for concurrent ones taxes each call.
        .concurrency_support(false)
        .wasm_features(WasmFeatures::all().difference(FEATURES), false)
        .wasm_features(FEATURES, true);
    config
}

#[derive(Default)]
struct Ticker {
    active: Mutex<usize>,
    wake: Condvar,
}

/// While this lives, epochs pass.
pub(super) struct Running<'a>(&'a Ticker);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        *lock(&self.0.active) -= 1;
    }
}

fn spawn_ticker(engine: &Engine, ticker: &Arc<Ticker>) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = Arc::downgrade(ticker);
    thread::Builder::new().name("plugin-ticker".into()).spawn(move || {
        loop {
            let Some(ticker) = ticker.upgrade() else { return };
            let idle = {
                let active = lock(&ticker.active);
                // The wait is bounded so that the thread notices when the engine is gone.
                let wait = |active| ticker.wake.wait_timeout(active, Duration::from_secs(5));
                if *active == 0 { wait(active).is_ok_and(|(active, _)| *active == 0) } else { false }
            };
            drop(ticker);
            if idle {
                continue;
            }
            thread::sleep(bounds::PLUGIN_TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    })?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
