//! Runs the embedded broker by itself: `--port N --dir D [--cpu C]`; ends when its input does, or
//! when it is killed.

use std::io::Read;

use millrace_broker::{Broker, BrokerOptions};

fn main() -> std::io::Result<()> {
    let level =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    let port: u16 = value("--port").and_then(|port| port.parse().ok()).unwrap_or(9092);
    let directory = value("--dir").map_or("/tmp/millrace-broker", String::as_str);
    let cpu = value("--cpu").and_then(|cpu| cpu.parse().ok());
    let options = BrokerOptions::new(([127, 0, 0, 1], port).into(), directory);
    let broker = Broker::spawn_thread(options, cpu)?;
    println!("{}", broker.addr());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    broker.stop_blocking()
}
