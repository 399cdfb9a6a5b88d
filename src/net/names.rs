//! Host names to addresses, off the core.
//!
//! The system's resolver (`getaddrinfo`) blocks, for seconds if a name server is silent; it runs on
//! threads of its own, so that a silent one holds up neither the core nor other offloaded work. Answers
//! are kept for [`TTL`] per core, as the JVM does; failures are not kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::offload::{Pool, run_in};

/// How long an answer serves: the JVM's `networkaddress.cache.ttl`.
pub const TTL: Duration = Duration::from_secs(30);
/// The longest wait for the system's resolver.
pub const LIMIT: Duration = Duration::from_secs(30);
const MAX_NAMES: usize = 1024;
const MAX_THREADS: usize = 2;

#[derive(Default)]
struct Cache(HashMap<String, (Vec<IpAddr>, Instant)>);

impl Cache {
    fn get(&self, host: &str, now: Instant) -> Option<&[IpAddr]> {
        let (addresses, until) = self.0.get(host)?;
        (now < *until).then_some(addresses)
    }

    fn put(&mut self, host: &str, addresses: Vec<IpAddr>, now: Instant) {
        if self.0.len() >= MAX_NAMES {
            self.0.retain(|_, (_, until)| now < *until);
        }
        if self.0.len() < MAX_NAMES {
            self.0.insert(host.to_owned(), (addresses, now + TTL));
        }
    }
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
    static POOL: RefCell<Pool> = RefCell::new(Pool::new("millrace-names", MAX_THREADS));
}

/// The addresses of `host`, in the order in which to try them; never empty. An address literal is
/// answered at once.
///
/// # Errors
/// The name is not known ([`io::ErrorKind::NotFound`] if the resolver gave an empty answer), or
/// [`LIMIT`] passed ([`io::ErrorKind::TimedOut`]). The message names the host.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let known = CACHE.with_borrow(|cache| {
        let addresses = cache.get(host, Instant::now())?;
        Some(with_port(addresses, port))
    });
    if let Some(addresses) = known {
        return Ok(addresses);
    }
    let name = host.to_owned();
    let lookup = run_in(&POOL, move || {
        (name.as_str(), 0).to_socket_addrs().map(|found| {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found {
                if !addresses.contains(&address.ip()) {
                    addresses.push(address.ip());
                }
            }
            addresses
        })
    });
    let found = match crate::rt::timeout(LIMIT, lookup).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer")),
    };
    let addresses = found
        .and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "it has no address")),
            false => Ok(addresses),
        })
        .map_err(|error| io::Error::new(error.kind(), format!("cannot resolve {host}: {error}")))?;
    let answer = with_port(&addresses, port);
    CACHE.with_borrow_mut(|cache| cache.put(host, addresses, Instant::now()));
    Ok(answer)
}

/// Forgets what is known of `host`: none of its addresses could be reached.
pub fn forget(host: &str) {
    CACHE.with_borrow_mut(|cache| cache.0.remove(host));
}

fn with_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::on_core;

    #[test]
    fn literals_names_and_unknown_names() {
        on_core(|| async {
            assert_eq!(resolve("127.0.0.1", 9).await.unwrap(), ["127.0.0.1:9".parse().unwrap()]);
            assert_eq!(resolve("::1", 9).await.unwrap(), ["[::1]:9".parse().unwrap()]);
            let local = resolve("localhost", 80).await.unwrap();
            assert!(!local.is_empty() && local.iter().all(|a| a.ip().is_loopback()));
            assert!(CACHE.with_borrow(|cache| cache.get("localhost", Instant::now()).is_some()));
            assert!(resolve("localhost", 81).await.unwrap().iter().all(|a| a.port() == 81));
            forget("localhost");
            assert!(CACHE.with_borrow(|cache| cache.get("localhost", Instant::now()).is_none()));
            let error = resolve("no such host", 1).await.unwrap_err();
            assert!(error.to_string().starts_with("cannot resolve no such host: "), "{error}");
        });
    }

    #[test]
    fn the_cache_expires_and_is_bounded() {
        let mut cache = Cache::default();
        let now = Instant::now();
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        for n in 0..MAX_NAMES + 5 {
            cache.put(&format!("h{n}"), vec![address], now);
        }
        assert_eq!(cache.0.len(), MAX_NAMES);
        assert_eq!(cache.get("h0", now), Some(&[address][..]));
        assert_eq!(cache.get("h0", now + TTL), None);
        cache.put("late", vec![address], now + TTL);
        assert_eq!(cache.0.len(), 1);
    }
}
