//! `/connectors/{c}/offsets`.

use axum::http::Method;
use millrace_herder::requests::{PartitionOffset, Request};
use millrace_herder::source_offsets::to_json;
use serde_json::json;

use crate::answer::{Outcome, ok};
use crate::app::App;
use crate::body;

/// GET lists, PATCH alters, DELETE resets.
pub(crate) async fn handle(app: &App, method: &Method, name: String, bytes: &[u8]) -> Outcome {
    if method == Method::GET {
        let listed = app.ask(|reply| Request::Offsets { name, reply }).await?;
        let entry = |(partition, offset): &PartitionOffset| json!({"partition": to_json(partition), "offset": to_json(offset)});
        return ok(&json!({"offsets": listed.iter().map(entry).collect::<Vec<_>>()}));
    }
    let offsets = if method == Method::PATCH { Some(body::offsets(bytes)?) } else { None };
    let message = app.ask(|reply| Request::AlterOffsets { name, offsets, reply }).await?;
    ok(&json!({"message": message}))
}
