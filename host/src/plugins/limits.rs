//! What one plugin instance may use, and its only way to speak: the state wasmtime keeps beside a guest.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, trace, warn};
use wasmtime::ResourceLimiter;

use crate::bounds;
use crate::model::Level;

/// The host's side of one instance: its limits, and its log.
pub struct GuestState {
    plugin: String,
    memory_bytes: usize,
    table_elements: usize,
    /// The limit that was hit last, for the report: wasm only sees a failed `memory.grow`.
    pub(super) hit: Option<&'static str>,
    log_window: Instant,
    log_lines: u32,
}

impl GuestState {
    pub(super) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            memory_bytes: 0,
            table_elements: 0,
            hit: None,
            log_window: Instant::now(),
            log_lines: 0,
        }
    }

    /// Returns the bytes of linear memory the instance holds.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Takes one log line of the guest: rate and length are bounded, control characters are not passed on.
    pub(super) fn guest_log(&mut self, level: Level, message: &str) {
        if self.log_window.elapsed() >= Duration::from_secs(1) {
            self.log_window = Instant::now();
            self.log_lines = 0;
        }
        self.log_lines = self.log_lines.saturating_add(1);
        if self.log_lines > bounds::PLUGIN_LOG_LINES {
            if self.log_lines == bounds::PLUGIN_LOG_LINES + 1 {
                warn!(plugin = %self.plugin, "plugin logs too much; the rest of this second is dropped");
            }
            return;
        }
        let clean: String = message
            .chars()
            .take(bounds::PLUGIN_LOG_BYTES)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let plugin = &self.plugin;
        match level {
            Level::Unknown | Level::Trace => trace!(plugin, "{clean}"),
            Level::Debug => debug!(plugin, "{clean}"),
            Level::Info => info!(plugin, "{clean}"),
            Level::Warn => warn!(plugin, "{clean}"),
            Level::Error | Level::Fatal => error!(plugin, "{clean}"),
        }
    }
}

// `wasmtime::StoreLimits` bounds each memory by itself; a guest may have several, so this one sums.
impl ResourceLimiter for GuestState {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > bounds::PLUGIN_MEMORY_BYTES {
            self.hit = Some("PLUGIN_MEMORY_BYTES (64 MiB of linear memory)");
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_elements.saturating_add(desired.saturating_sub(current));
        if total > bounds::PLUGIN_TABLE_ELEMENTS {
            self.hit = Some("PLUGIN_TABLE_ELEMENTS (100,000 table elements)");
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        bounds::PLUGIN_INSTANCES
    }

    fn tables(&self) -> usize {
        bounds::PLUGIN_INSTANCES
    }

    fn memories(&self) -> usize {
        bounds::PLUGIN_INSTANCES
    }
}
