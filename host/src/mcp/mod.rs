//! Ostler for coding agents: the Model Context Protocol on a connection of the daemon.
//!
//! ```text
//! agent ──stdio──▶ pump (in `ostler mcp`) ──socket──▶ transport ─▶ lifecycle ─▶ rmcp ─▶ server ─▶ tools ─▶ api
//!                                                                                          ▲
//!                                                reply ◀─ lines ◀─ fold ◀─ budget, text ◀───┘
//! ```
//!
//! Only this module knows the protocol. It turns calls into verbs of the [`api`](crate::api) and what comes back into
//! as few tokens as say it. It keeps no state beyond a connection, and decides nothing about processes.

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::api::Api;

mod arguments;
mod bound;
mod budget;
mod fold;
mod lifecycle;
mod lines;
mod outbox;
mod pump;
mod reply;
mod requests;
mod server;
mod session;
mod stdio;
mod suggest;
mod text;
mod tokens;
mod tools;
mod toolset;
mod transport;
mod view;
mod words;

pub use pump::{Daemons, pump};
pub use toolset::{Toolset, Toolsets, UnknownToolset};

/// Serves the protocol on an accepted connection whose first line has been read byte for byte, until the client
/// leaves. Dropping the future ends the connection.
pub async fn serve(stream: UnixStream, toolsets: Toolsets, api: Api) {
    let (read, write) = stream.into_split();
    serve_halves(BufReader::new(read), write, toolsets, api).await;
}

/// As [`serve`], for a connection whose first line was read through a buffer that may hold more already.
pub async fn serve_halves(
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    toolsets: Toolsets,
    api: Api,
) {
    let transport = transport::LineTransport::new(read, write);
    match rmcp::serve_server(server::Server::new(toolsets, api), transport).await {
        Ok(running) => {
            if let Err(error) = running.waiting().await {
                tracing::warn!(%error, "an agent's connection ended badly");
            }
        }
        Err(error) => tracing::debug!(%error, "an agent left before it asked for anything"),
    }
}
