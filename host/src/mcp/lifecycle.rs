//! What a line from a client is, and whether it may pass to the protocol library.
//!
//! Two eras of the protocol meet here. Up to 2025-11-25 a client begins with `initialize`, and its later requests say
//! nothing of themselves; from 2026-07-28 on every request carries its version and capabilities in `_meta`. Clients
//! mix both on one connection. The library settles on one of them at the first request:
//!
//! ```text
//!                 initialize ┌───────────▶ Handshake    (either kind of request is fine)
//! Undecided ─────────────────┤
//!     │  ▲         complete  └───────────▶ PerRequest ──initialize──▶ Both
//!     └──┘         _meta                  (_meta needed)             (a bare request gets the `_meta` that its
//!   discover,                                                         client told in `initialize`)
//!   notifications (dropped)
//! ```
//!
//! Pure: reads no socket and writes none.

use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorData, GetMeta, InitializeRequestParams, JsonRpcMessage,
    ProtocolVersion, RequestId, ServerJsonRpcMessage, ServerResult,
};
use serde_json::Value;

/// What becomes of a line.
#[derive(Debug)]
pub enum Admitted {
    /// It goes on to the library.
    Pass(Box<ClientJsonRpcMessage>),
    /// It is answered at once.
    Answer(Box<ServerJsonRpcMessage>),
    /// Nothing: a notification nobody waits for.
    Drop,
}

/// How a connection's client speaks.
#[derive(Debug, Default)]
pub enum Lifecycle {
    #[default]
    Undecided,
    Handshake,
    PerRequest,
    /// It began with self-contained requests and sent `initialize` later, with these parameters.
    Both(Box<InitializeRequestParams>),
}

impl Lifecycle {
    /// Reads one line without its end, and says what becomes of it.
    pub fn admit(&mut self, line: &[u8]) -> Admitted {
        let message = match serde_json::from_slice::<ClientJsonRpcMessage>(line) {
            Ok(message) => message,
            Err(error) => return unreadable(line, &error),
        };
        let JsonRpcMessage::Request(mut request) = message else {
            // The library takes a connection that begins with anything but a request for a broken one.
            return match self {
                Self::Undecided => Admitted::Drop,
                _ => Admitted::Pass(Box::new(message)),
            };
        };
        if let ClientRequest::CustomRequest(custom) = &request.request
            && let Some(problem) = malformed(&custom.method, custom.params.as_ref().unwrap_or(&Value::Null))
        {
            return answer(Err(ErrorData::invalid_params(problem, None)), Some(request.id));
        }
        if let Self::Both(client) = self
            && request.request.get_meta().protocol_version().is_none()
        {
            if matches!(request.request, ClientRequest::PingRequest(_)) {
                return answer(Ok(ServerResult::empty(())), Some(request.id));
            }
            introduce(&mut request.request, client);
        }
        self.advance(&request.request);
        Admitted::Pass(Box::new(JsonRpcMessage::Request(request)))
    }

    fn advance(&mut self, request: &ClientRequest) {
        *self = match (std::mem::take(self), request) {
            (Self::Undecided, ClientRequest::InitializeRequest(_)) => Self::Handshake,
            (Self::PerRequest | Self::Both(_), ClientRequest::InitializeRequest(request)) => {
                Self::Both(Box::new(request.params.clone()))
            }
            (Self::Undecided, request) if is_self_contained(request) => Self::PerRequest,
            (lifecycle, _) => lifecycle,
        };
    }
}

/// Returns whether the library takes up its work at this request without `initialize`.
fn is_self_contained(request: &ClientRequest) -> bool {
    let meta = request.get_meta();
    !matches!(request, ClientRequest::DiscoverRequest(_) | ClientRequest::PingRequest(_))
        && meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        && meta.protocol_version().is_some_and(|version| ProtocolVersion::KNOWN_VERSIONS.contains(&version))
}

/// Adds to a request what its client said in `initialize`.
fn introduce(request: &mut ClientRequest, client: &InitializeRequestParams) {
    if matches!(request, ClientRequest::InitializeRequest(_)) {
        return;
    }
    let meta = request.get_meta_mut();
    meta.set_protocol_version(negotiated(&client.protocol_version));
    if meta.client_capabilities().is_none() {
        meta.set_client_capabilities(client.capabilities.clone());
    }
    if meta.client_info().is_none() {
        meta.set_client_info(client.client_info.clone());
    }
}

/// Returns the version that `initialize` settles on with a client that asks for `requested`.
pub fn negotiated(requested: &ProtocolVersion) -> ProtocolVersion {
    if requested.has_initialize() && ProtocolVersion::KNOWN_VERSIONS.contains(requested) {
        requested.clone()
    } else {
        ProtocolVersion::V_2025_11_25
    }
}

/// Says what is wrong with a request whose method is known and whose parameters do not fit it: the library takes such
/// a one for an unknown method.
fn malformed(method: &str, params: &Value) -> Option<String> {
    let detail = match method {
        "tools/call" if !params["name"].is_string() => "`name` must be a string that names the tool",
        "tools/call" if params.get("arguments").is_some_and(|arguments| !arguments.is_object()) => {
            "`arguments` must be an object"
        }
        "initialize" => {
            "`protocolVersion`, `capabilities` and `clientInfo` with `name` and `version` are needed"
        }
        "tools/call" | "tools/list" | "ping" | "server/discover" => "they do not fit the protocol's schema",
        _ => return None,
    };
    Some(format!("malformed params of {method}: {detail}"))
}

fn unreadable(line: &[u8], error: &serde_json::Error) -> Admitted {
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return answer(Err(ErrorData::parse_error(format!("not JSON: {error}"), None)), None);
    };
    let id = serde_json::from_value::<RequestId>(value["id"].clone()).ok();
    // A notification is never answered, not even a wrong one (JSON-RPC 2.0, 4.1).
    if id.is_none() && value.get("id").is_none() && value["method"].is_string() {
        return Admitted::Drop;
    }
    if let (Some(id), Some(method)) = (&id, value["method"].as_str())
        && let Some(problem) = malformed(method, &value["params"])
    {
        return answer(Err(ErrorData::invalid_params(problem, None)), Some(id.clone()));
    }
    let problem = if value.is_array() {
        "batches are not supported: send one message a line"
    } else {
        "not a JSON-RPC 2.0 message: it needs `jsonrpc`: \"2.0\", a `method`, and an `id` that is a number or a string"
    };
    answer(Err(ErrorData::invalid_request(problem, None)), id)
}

fn answer(result: Result<ServerResult, ErrorData>, id: Option<RequestId>) -> Admitted {
    Admitted::Answer(Box::new(match (result, id) {
        (Ok(result), Some(id)) => ServerJsonRpcMessage::response(result, id),
        (Ok(_), None) => return Admitted::Drop,
        (Err(error), id) => ServerJsonRpcMessage::error(error, id),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admit(lifecycle: &mut Lifecycle, message: Value) -> Admitted {
        lifecycle.admit(message.to_string().as_bytes())
    }

    fn answered(admitted: Admitted) -> Value {
        match admitted {
            Admitted::Answer(message) => serde_json::to_value(message).unwrap(),
            other => panic!("not answered: {other:?}"),
        }
    }

    fn passed(admitted: Admitted) -> ClientRequest {
        match admitted {
            Admitted::Pass(message) => match *message {
                JsonRpcMessage::Request(request) => request.request,
                other => panic!("not a request: {other:?}"),
            },
            other => panic!("not passed: {other:?}"),
        }
    }

    fn modern(method: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }}})
    }

    fn initialize(version: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
        }})
    }

    #[test]
    fn a_bare_request_after_both_eras_gets_what_initialize_said() {
        let mut lifecycle = Lifecycle::default();
        passed(admit(&mut lifecycle, modern("tools/list")));
        assert!(matches!(lifecycle, Lifecycle::PerRequest));
        passed(admit(&mut lifecycle, initialize("2025-06-18")));
        let bare = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"});
        let request = passed(admit(&mut lifecycle, bare));
        assert_eq!(request.get_meta().protocol_version(), Some(ProtocolVersion::V_2025_06_18));
        assert_eq!(request.get_meta().client_info().unwrap().name, "test");
        assert!(request.get_meta().client_capabilities().is_some());
        let ping = answered(admit(&mut lifecycle, json!({"jsonrpc": "2.0", "id": 4, "method": "ping"})));
        assert_eq!(ping, json!({"jsonrpc": "2.0", "id": 4, "result": {}}));
        let own = passed(admit(&mut lifecycle, modern("tools/list")));
        assert_eq!(own.get_meta().protocol_version(), Some(ProtocolVersion::V_2026_07_28));
    }

    #[test]
    fn discovering_decides_nothing() {
        let mut lifecycle = Lifecycle::default();
        passed(admit(&mut lifecycle, modern("server/discover")));
        assert!(matches!(lifecycle, Lifecycle::Undecided));
        passed(admit(&mut lifecycle, initialize("2025-11-25")));
        assert!(matches!(lifecycle, Lifecycle::Handshake));
    }

    #[test]
    fn a_notification_before_everything_else_does_no_harm() {
        let mut lifecycle = Lifecycle::default();
        let early = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert!(matches!(admit(&mut lifecycle, early.clone()), Admitted::Drop));
        passed(admit(&mut lifecycle, initialize("2025-11-25")));
        assert!(matches!(admit(&mut lifecycle, early), Admitted::Pass(_)));
    }

    #[test]
    fn unknown_versions_settle_on_one_that_is_known() {
        for (requested, settled) in
            [("2024-11-05", "2024-11-05"), ("2026-07-28", "2025-11-25"), ("2099-01-01", "2025-11-25")]
        {
            let requested: ProtocolVersion = serde_json::from_value(json!(requested)).unwrap();
            assert_eq!(negotiated(&requested).as_str(), settled);
        }
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_the_reason() {
        let mut lifecycle = Lifecycle::default();
        let error = |admitted| {
            let answer = answered(admitted);
            (
                answer["error"]["code"].as_i64().unwrap(),
                answer["id"].clone(),
                answer["error"]["message"].to_string(),
            )
        };
        let (code, id, _) = error(lifecycle.admit(b"{oops"));
        assert_eq!((code, id), (-32700, Value::Null));
        let (code, id, message) = error(admit(&mut lifecycle, json!([{"jsonrpc": "2.0", "id": 1}])));
        assert_eq!((code, id), (-32600, Value::Null));
        assert!(message.contains("batches"), "{message}");
        let (code, id, _) = error(admit(&mut lifecycle, json!({"jsonrpc": "2.0", "id": 5, "method": 7})));
        assert_eq!((code, id), (-32600, json!(5)));
    }

    #[test]
    fn malformed_parameters_are_not_an_unknown_method() {
        let mut lifecycle = Lifecycle::default();
        for (params, expected) in [
            (json!({"name": "get_logs", "arguments": "api"}), "`arguments` must be an object"),
            (json!({"arguments": {}}), "`name` must be a string"),
            (json!([]), "`name` must be a string"),
        ] {
            let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
            let answer = answered(admit(&mut lifecycle, call));
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
            assert!(answer["error"]["message"].as_str().unwrap().contains(expected), "{answer}");
        }
        let call =
            json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}});
        assert_eq!(answered(admit(&mut lifecycle, call))["error"]["code"], -32602);
    }
}
