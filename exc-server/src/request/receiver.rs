//! Pulling exceptions from a port or set, one at a time.

use crate::error::ReceiveError;
use crate::request::buffer::MessageBuffer;
use crate::request::deferrals::Deferrals;
use crate::request::exception::Exception;
use crate::request::receive::{Source, receive};
use crate::timeout::Timeout;
use core::marker::PhantomData;
use mach_sys::kernel::system::Origin;
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right};

/// Receives exceptions from a port or a set, on the calling thread.
///
/// ```
/// use exc_server::mach_sys::rights::ReceiveRight;
/// use exc_server::{MessageBuffer, ReceiveError, Receiver, Timeout};
///
/// let port = ReceiveRight::new()?;
/// let mut buffer = MessageBuffer::new();
/// match Receiver::from_port(&port).receive(&mut buffer, Timeout::Now) {
///     Ok(exception) => println!("{:?}", exception.decline().outcome()),
///     Err(ReceiveError::TimedOut) => println!("no thread waits"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Receiver<'p> {
    source: Source<'p>,
    owner: PhantomData<&'p ()>,
}

impl<'p> Receiver<'p> {
    /// Receives from one port.
    #[must_use]
    pub fn from_port(port: &'p ReceiveRight) -> Self {
        Self::from_name(port.name(), None)
    }

    /// Receives from all members of a set.
    #[must_use]
    pub fn from_set(set: &'p PortSet) -> Self {
        Self::from_name(set.name(), Some(set))
    }

    fn from_name(name: Name, set: Option<&'p PortSet>) -> Self {
        Self {
            source: Source {
                name,
                set,
                origin: Origin::current(),
                deferrals: None,
                shared: true,
            },
            owner: PhantomData,
        }
    }

    /// Lets the exceptions be deferred, into this table. Deadlines of what is in it are kept by [`receive`](Self::receive), while it
    /// waits.
    ///
    /// Several receivers and threads may share a table. Each keeps the deadlines of all; one that another thread sets while it waits
    /// already is kept at most 100 milliseconds late, since no thread can interrupt the wait of another. While no thread waits in
    /// `receive`, no deadline is kept. A server keeps the deadlines that its own handler sets: one that a receiver sets in a server's
    /// table ([`Server::deferrals`](crate::Server::deferrals)) is the receivers' to keep.
    #[must_use]
    pub fn deferring(mut self, deferrals: &'p Deferrals) -> Self {
        self.source.deferrals = Some(deferrals);
        self
    }

    /// Waits for one exception. A message that is none is answered with the MIG error that Apple's servers answer, its rights are
    /// released, and it is reported.
    ///
    /// # Errors
    /// - [`ReceiveError::TimedOut`]: nothing came in time.
    /// - [`ReceiveError::PortGone`]: the port or set was destroyed.
    /// - [`ReceiveError::Malformed`], [`ReceiveError::TooLarge`], [`ReceiveError::NoRoom`]: what came is no exception request, or came
    ///   incomplete. The receiver goes on.
    /// - [`ReceiveError::Kernel`]: another answer of the kernel.
    #[doc(alias = "mach_msg")]
    #[doc(alias = "mach_msg_server_once")]
    pub fn receive<'b>(
        &self,
        buffer: &'b mut MessageBuffer,
        timeout: Timeout,
    ) -> Result<Exception<'b>, ReceiveError>
    where
        'p: 'b,
    {
        let received = receive(self.source, buffer, timeout.milliseconds())?;
        let context = received.context;
        Ok(Exception::new(
            received,
            context,
            None,
            self.source.deferrals,
            self.source.set,
            None,
        ))
    }
}
