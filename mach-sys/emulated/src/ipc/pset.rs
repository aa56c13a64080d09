//! Port sets: many ports to receive from at once (C9).
//!
//! A set keeps a list of its members that have messages, so that receiving from ten thousand ports costs what receiving from ten
//! does: a member joins the end when its queue becomes non-empty, the first is served and goes to the end, and an empty one
//! leaves (C9.4). All lists are doubly linked: a member leaves at the same cost however many there are.

use super::id::{LinkId, PortId, SetId};

/// A port set.
#[derive(Debug)]
pub(crate) struct Pset {
    pub(crate) alive: bool,
    /// The name's, and one for each thread that waits here.
    pub(super) references: u32,
    /// First of the links that tie the set to its members.
    pub(super) links: Option<LinkId>,
    /// First and last of the members that have messages, in the order in which they are served.
    pub(super) first_ready: Option<LinkId>,
    pub(super) last_ready: Option<LinkId>,
}

impl Pset {
    /// Makes a set without members, with one reference: its name's.
    pub(super) fn new() -> Self {
        Self {
            alive: true,
            references: 1,
            links: None,
            first_ready: None,
            last_ready: None,
        }
    }
}

/// The neighbours of a link in one of its lists.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Neighbours {
    pub(super) previous: Option<LinkId>,
    pub(super) next: Option<LinkId>,
}

/// One port's membership in one set.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) port: PortId,
    pub(super) set: SetId,
    /// Neighbours among the links of the port.
    pub(super) of_port: Neighbours,
    /// Neighbours among the links of the set.
    pub(super) of_set: Neighbours,
    /// True if it is in the set's list of members with messages. `of_ready` has its neighbours there.
    pub(super) ready: bool,
    pub(super) of_ready: Neighbours,
}
