//! Connections: accepted, served one request at a time, let go.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use millrace_net::http::{NoRequest, Refusal, ServerConnection, ServerTls};
use millrace_net::rt::{self, TcpListener, TcpStream};
use serde_json::json;

use super::body::{self, Bad};
use super::config::Settings;
use super::desk::{Desk, Pending, Room, Verdict};
use super::routing::{Route, route};

/// A refused body of up to this size is read, so that the connection can be used again.
const READ_ANYWAY: u64 = 64 << 10;
/// After a failed accept: mostly no descriptors are left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What every connection of a task needs.
pub struct Front {
    pub settings: Settings,
    pub tls: Option<ServerTls>,
    pub desk: Desk,
    pub task: String,
}

/// An answer other than what the protocol gives by itself.
struct Answer {
    status: u16,
    /// A JSON object.
    body: String,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.status, body: json!({"error": refusal.message}).to_string() }
    }
}

impl From<Bad> for Answer {
    fn from(bad: Bad) -> Self {
        let mut body = json!({"error": bad.message});
        if let Some((record, byte)) = bad.place {
            body["record"] = record.into();
            body["byte"] = byte.into();
        }
        Self { status: bad.status, body: body.to_string() }
    }
}

/// Accepts until it is dropped; each connection is a task of its own, whose panic is its own.
pub async fn accept(front: Rc<Front>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok(socket) => {
                let front = Rc::clone(&front);
                front.desk.connections.set(front.desk.connections.get() + 1);
                rt::spawn_caught(async move {
                    let _here = Here(Rc::clone(&front));
                    let _ =
                        select(pin!(serve(&front, socket)), pin!(front.desk.cut.notified())).await;
                })
                .detach();
            }
            Err(error) => {
                tracing::warn!(task = %front.task, %error, "a connection could not be accepted");
                rt::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Counts a connection, however it ends.
struct Here(Rc<Front>);

impl Drop for Here {
    fn drop(&mut self) {
        let connections = &self.0.desk.connections;
        connections.set(connections.get().saturating_sub(1));
    }
}

/// Serves a client until either has enough.
async fn serve(front: &Front, socket: TcpStream) {
    let Settings { limits, times, .. } = front.settings;
    let accepted = ServerConnection::accept(socket, front.tls.as_ref(), limits, times).await;
    let Ok(mut connection) = accepted.inspect_err(|error| {
        tracing::debug!(task = %front.task, %error, "no TLS with a client");
    }) else {
        return;
    };
    if front.desk.connections.get() > front.settings.connections {
        let refusal = Refusal::new(503, "there are too many connections");
        let _ = answer(front, &mut connection, refusal.into(), true).await;
        return;
    }
    while !front.desk.stopping.get() {
        let served = {
            let next = pin!(async { connection.next_request().await.map(drop) });
            match select(next, pin!(front.desk.stop.notified())).await {
                Either::Left((next, _)) => next,
                Either::Right(_) => break,
            }
        };
        let ended = match served {
            Ok(()) => one_request(front, &mut connection).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(true) => {}
            Ok(false) | Err(NoRequest::Closed) => return,
            Err(NoRequest::Broken(error)) => {
                tracing::debug!(task = %front.task, %error, "a connection broke");
                return;
            }
            Err(NoRequest::Refused(refusal)) => {
                let _ = answer(front, &mut connection, refusal.into(), true).await;
                return;
            }
        }
    }
    connection.close().await;
}

/// Answers the request whose head is there; `false` when the connection is closed.
async fn one_request(front: &Front, connection: &mut ServerConnection) -> Result<bool, NoRequest> {
    let Some(head) = connection.head() else { return Ok(false) };
    let (keep_alive, length) = (head.keep_alive, head.length.unwrap_or(0));
    let waits = head.expects_continue;
    let small = !head.chunked && length <= READ_ANYWAY && !waits;
    let mut room = front.desk.room(front.settings.inflight_bytes);
    let route = match route(&front.settings, head) {
        Ok(_) if !room.grow_to(length as usize) => Err(no_room()),
        routed => routed,
    };
    let reply = match route {
        Err(refusal) if small => {
            connection.read_body(|_| Ok(())).await?;
            refusal.into()
        }
        Err(refusal) => {
            let written = answer(front, connection, refusal.into(), true).await;
            return written.map(|()| false).map_err(NoRequest::Broken);
        }
        Ok(route) => {
            let grow = |bytes| if room.grow_to(bytes) { Ok(()) } else { Err(no_room()) };
            connection.read_body(grow).await?;
            let body = connection.take_body();
            take(front, route, body, &mut room).await.unwrap_or_else(|bad| bad)
        }
    };
    drop(room);
    let close = !keep_alive || front.desk.stopping.get();
    answer(front, connection, reply, close).await.map_err(NoRequest::Broken)?;
    Ok(!close)
}

fn no_room() -> Refusal {
    Refusal::new(429, "too much is on its way to Kafka already")
}

/// Checks a body, hands its records over and waits for what becomes of them.
async fn take(
    front: &Front,
    route: Route,
    body: Vec<u8>,
    room: &mut Room<'_>,
) -> Result<Answer, Answer> {
    let settings = &front.settings;
    let body = if route.gzip {
        let no_room = || Bad { status: 429, message: no_room().message, place: None };
        let held = body.len();
        let grown = |bytes| if room.grow_to(held + bytes) { Ok(()) } else { Err(no_room()) };
        body::inflate(&body, settings.limits.body_bytes, grown).await?
    } else {
        body
    };
    let records = body::records(settings, route.format, &body).await?;
    let count = records.len();
    if count > 0 {
        if front.desk.stopping.get() {
            return Err(stopping().into());
        }
        let pending = Pending::new(route, body, records);
        front.desk.submit(Rc::clone(&pending));
        let settled = rt::timeout(settings.ack_timeout, pending.settled.notified()).await;
        match pending.verdict() {
            Some(Verdict::Acknowledged) => {}
            Some(Verdict::Refused(record)) => {
                let error = "the worker dropped records that a transform or converter refused";
                let body = json!({"error": error, "record": record + 1}).to_string();
                return Err(Answer { status: 422, body });
            }
            Some(Verdict::Lost) => return Err(stopping().into()),
            None => {
                pending.abandon();
                debug_assert!(settled.is_err());
                let message = format!(
                    "Kafka has not acknowledged the records within {} ms; they may arrive yet",
                    settings.ack_timeout.as_millis()
                );
                return Err(Refusal::new(503, message).into());
            }
        }
    }
    Ok(Answer { status: 200, body: format!("{{\"count\":{count}}}") })
}

fn stopping() -> Refusal {
    Refusal::new(503, "the records did not reach Kafka, or may not have: send them again")
}

async fn answer(
    front: &Front,
    connection: &mut ServerConnection,
    answer: Answer,
    close: bool,
) -> io::Result<()> {
    let mut headers = "Content-Type: application/json\r\n".to_owned();
    match answer.status {
        429 | 503 => {
            headers.push_str(&format!("Retry-After: {}\r\n", front.settings.retry_after));
        }
        401 => {
            for credentials in &front.settings.credentials {
                let scheme = credentials.split(' ').next().unwrap_or_default();
                headers.push_str(&format!("WWW-Authenticate: {scheme} realm=\"millrace\"\r\n"));
            }
        }
        405 => headers.push_str("Allow: POST\r\n"),
        _ => {}
    }
    connection.respond(answer.status, &headers, answer.body.as_bytes(), close).await
}
