//! Port sets: many ports to receive from at once (C9).
//!
//! A set keeps a list of its members that have messages, so that receiving from ten thousand ports costs what receiving from ten
//! does: a member joins the end when its queue becomes non-empty, the first is served and goes to the end, and an empty one
//! leaves (C9.4).

use super::arena::Zeroed;
use super::mach::Locked;
use super::object::Kind;
use mach_wire::kern_return::KernReturn;

/// One port's membership in one set.
#[derive(Debug, Default)]
pub(crate) struct Link {
    port: u32,
    set: u32,
    next_of_port: u32,
    next_of_set: u32,
    /// Whether it is in the set's list of members with messages.
    ready: bool,
    ready_previous: u32,
    ready_next: u32,
}

// SAFETY: integers and a bool.
#[allow(unsafe_code)]
unsafe impl Zeroed for Link {}

impl Locked<'_> {
    fn link_of(&self, port: u32, set: u32) -> Option<u32> {
        let mut link = self.object(port).links;
        while link != 0 && self.state.links[link].set != set {
            link = self.state.links[link].next_of_port;
        }
        (link != 0).then_some(link)
    }

    /// C9.1, names resolved.
    pub(super) fn join(&mut self, port: u32, set: u32) -> Result<(), KernReturn> {
        if self.link_of(port, set).is_some() {
            return Err(KernReturn::ALREADY_IN_SET);
        }
        let link = Link {
            port,
            set,
            next_of_port: self.object(port).links,
            next_of_set: self.object(set).links,
            ..Link::default()
        };
        let link = self
            .state
            .links
            .insert(link)
            .ok_or(KernReturn::RESOURCE_SHORTAGE)?;
        self.object_mut(port).links = link;
        self.object_mut(set).links = link;
        if !self.object(port).queue.is_empty() {
            self.make_ready(link);
        }
        Ok(())
    }

    /// C9.2, names resolved.
    pub(super) fn leave(&mut self, port: u32, set: u32) -> Result<(), KernReturn> {
        let link = self.link_of(port, set).ok_or(KernReturn::NOT_IN_SET)?;
        self.unlink(link);
        Ok(())
    }

    /// Takes a port out of every set but one; whether it was in another.
    pub(super) fn leave_others(&mut self, port: u32, kept: u32) -> bool {
        let mut left = false;
        let mut link = self.object(port).links;
        while link != 0 {
            let next = self.state.links[link].next_of_port;
            if self.state.links[link].set != kept {
                self.unlink(link);
                left = true;
            }
            link = next;
        }
        left
    }

    /// A port leaves all its sets; a set loses all its members (C9.3).
    pub(super) fn unlink_all(&mut self, object: u32) {
        while self.object(object).links != 0 {
            let link = self.object(object).links;
            self.unlink(link);
        }
    }

    fn unlink(&mut self, link: u32) {
        let Link {
            port,
            set,
            next_of_port,
            next_of_set,
            ready,
            ..
        } = self.state.links[link];
        if ready {
            self.make_unready(link);
        }
        if self.object(port).links == link {
            self.object_mut(port).links = next_of_port;
        } else {
            let mut at = self.object(port).links;
            while self.state.links[at].next_of_port != link {
                at = self.state.links[at].next_of_port;
            }
            self.state.links[at].next_of_port = next_of_port;
        }
        if self.object(set).links == link {
            self.object_mut(set).links = next_of_set;
        } else {
            let mut at = self.object(set).links;
            while self.state.links[at].next_of_set != link {
                at = self.state.links[at].next_of_set;
            }
            self.state.links[at].next_of_set = next_of_set;
        }
        self.state.links.remove(link);
    }

    fn make_ready(&mut self, link: u32) {
        let set = self.state.links[link].set;
        let (first, last) = self.object(set).ready;
        let entry = &mut self.state.links[link];
        entry.ready = true;
        entry.ready_previous = last;
        entry.ready_next = 0;
        if last != 0 {
            self.state.links[last].ready_next = link;
        }
        self.object_mut(set).ready = (if first == 0 { link } else { first }, link);
        self.event(set);
    }

    fn make_unready(&mut self, link: u32) {
        let Link {
            set,
            ready_previous: previous,
            ready_next: next,
            ..
        } = self.state.links[link];
        self.state.links[link].ready = false;
        let (mut first, mut last) = self.object(set).ready;
        if previous == 0 {
            first = next;
        } else {
            self.state.links[previous].ready_next = next;
        }
        if next == 0 {
            last = previous;
        } else {
            self.state.links[next].ready_previous = previous;
        }
        self.object_mut(set).ready = (first, last);
    }

    /// A message was queued on a port: its sets hear of it.
    pub(super) fn became_ready(&mut self, port: u32) {
        let mut link = self.object(port).links;
        while link != 0 {
            let next = self.state.links[link].next_of_port;
            if self.state.links[link].ready {
                // In the list already; but another receiver may be waiting for this message.
                let set = self.state.links[link].set;
                self.event(set);
            } else {
                self.make_ready(link);
            }
            link = next;
        }
    }

    /// A port's queue became empty: its sets forget it.
    pub(super) fn became_empty(&mut self, port: u32) {
        let mut link = self.object(port).links;
        while link != 0 {
            let next = self.state.links[link].next_of_port;
            if self.state.links[link].ready {
                self.make_unready(link);
            }
            link = next;
        }
    }

    /// The port to receive from: the object itself, or the member whose turn it is (C9.4). `None` when nothing is queued.
    pub(super) fn next_port(&mut self, object: u32) -> Option<u32> {
        if self.object(object).kind != Kind::Set {
            return (!self.object(object).queue.is_empty()).then_some(object);
        }
        let (first, _) = self.object(object).ready;
        (first != 0).then(|| self.state.links[first].port)
    }

    /// A set served this member: it goes to the end of the list.
    pub(super) fn served(&mut self, set: u32, port: u32) {
        if let Some(link) = self.link_of(port, set) {
            if self.state.links[link].ready {
                self.make_unready(link);
                self.make_ready(link);
            }
        }
    }

    /// Whether somebody who received from this port, or from one of its sets, last ran on another CPU than the caller.
    pub(crate) fn receiver_is_elsewhere(&self, port: u32) -> bool {
        let mut link = self.object(port).links;
        let mut elsewhere = self.wait_word(port).waiter_is_elsewhere();
        while link != 0 && !elsewhere {
            let Link {
                set, next_of_port, ..
            } = self.state.links[link];
            elsewhere = self.wait_word(set).waiter_is_elsewhere();
            link = next_of_port;
        }
        elsewhere
    }
}
