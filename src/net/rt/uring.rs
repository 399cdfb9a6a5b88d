//! The io_uring engine: glommio, named here alone.

use std::cell::OnceCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use glommio::{Latency, LocalExecutorBuilder, Placement, Shares, TaskQueueHandle};

use super::options::{CoreOptions, URGENT_LATENCY};
use super::watch::given_up;

pub(super) type Task<T> = glommio::Task<T>;
pub(super) type TcpStream = glommio::net::TcpStream;

/// Memory that each ring registers for files; ours do not go through the ring.
const IO_MEMORY: usize = 256 << 10;

/// Runs `main` on this thread to its end. `ready` hears whether the engine could be made.
pub(super) fn run<Fut: Future<Output = ()> + 'static>(
    options: &CoreOptions,
    ready: impl FnOnce(io::Result<()>),
    main: impl FnOnce() -> Fut,
) {
    let placement = options.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let executor = LocalExecutorBuilder::new(placement)
        .name(&options.name)
        .preempt_timer(Duration::from_millis(options.preempt_ms))
        .spin_before_park(options.spin)
        .io_memory(IO_MEMORY)
        .make();
    match executor {
        Ok(executor) => {
            ready(Ok(()));
            executor.run(async move { main().await });
            if given_up() {
                // Its tasks are where they were. Dropped without an executor around them they would
                // panic; their memory and the ring stay with the process.
                std::mem::forget(executor);
            }
        }
        Err(error) => ready(Err(io::Error::other(error.to_string()))),
    }
}

pub(super) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    glommio::spawn_local(future)
}

pub(super) fn spawn_urgent<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    thread_local! {
        static URGENT: OnceCell<TaskQueueHandle> = const { OnceCell::new() };
    }
    let queue = URGENT.with(|queue| {
        *queue.get_or_init(|| {
            let latency = Latency::Matters(URGENT_LATENCY);
            glommio::executor().create_task_queue(Shares::Static(1000), latency, "urgent")
        })
    });
    glommio::spawn_local_into(future, queue).expect("the queue was made on this core")
}

pub(super) async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

pub(super) async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

fn lift<T>(error: glommio::GlommioError<T>) -> io::Error {
    error.into()
}

pub(super) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.map_err(lift)?;
    stream.set_nodelay(true).map_err(lift)?;
    Ok(stream)
}

pub(super) fn peer_addr(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.peer_addr().map_err(lift)
}

/// A listening socket.
pub(super) struct TcpListener(glommio::net::TcpListener);

impl TcpListener {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        glommio::net::TcpListener::bind(address).map(Self).map_err(lift)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr().map_err(lift)
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(super) async fn accept(&self) -> io::Result<TcpStream> {
        let stream = self.0.accept().await.map_err(lift)?;
        stream.set_nodelay(true).map_err(lift)?;
        Ok(stream)
    }
}
