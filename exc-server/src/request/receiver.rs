//! Receives exceptions from a port or port set, one at a time.

use crate::error::ReceiveError;
use crate::request::buffer::MessageBuffer;
use crate::request::deferrals::Deferrals;
use crate::request::exception::Exception;
use crate::request::receive::{Source, receive};
use crate::timeout::Timeout;
use core::marker::PhantomData;
use mach_sys::kernel::system::Origin;
use mach_sys::rights::{Name, PortSet, ReceiveRight, Right};

/// A receiver of exceptions from a port or port set, on the calling thread.
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
    /// Makes a receiver from one port.
    #[must_use]
    pub fn from_port(port: &'p ReceiveRight) -> Self {
        Self::from_name(port.name(), None)
    }

    /// Makes a receiver from all members of a port set.
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

    /// Sets the table that exceptions can be deferred into. While it waits, [`receive`](Self::receive) declines the exceptions in the table
    /// whose deadline passes.
    ///
    /// Several receivers and threads may share a table; each keeps the deadlines of all. A deadline that another thread sets during a wait
    /// is kept at most 100 milliseconds late, since no thread can interrupt the wait of another. While no thread waits in `receive`, no
    /// deadline is kept. A server keeps only the deadlines that its own handler sets: if a receiver defers into a server's table
    /// ([`Server::deferrals`](crate::Server::deferrals)), the receivers must keep that deadline.
    #[must_use]
    pub fn deferring(mut self, deferrals: &'p Deferrals) -> Self {
        self.source.deferrals = Some(deferrals);
        self
    }

    /// Waits for one exception, and returns it. A message that is not an exception request is answered with the MIG error that Apple's
    /// servers reply, its rights are released, and an error is returned.
    ///
    /// # Errors
    /// - [`ReceiveError::TimedOut`]: no message arrived in time.
    /// - [`ReceiveError::PortGone`]: the port or port set was destroyed.
    /// - [`ReceiveError::Malformed`]: the message was not an exception request.
    /// - [`ReceiveError::TooLarge`]: the message was larger than any request.
    /// - [`ReceiveError::NoRoom`]: the task had no room for the message's rights.
    /// - [`ReceiveError::Kernel`]: another error of the kernel.
    ///
    /// After `Malformed`, `TooLarge` and `NoRoom` the receiver can be used as before.
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
