// SPDX-License-Identifier: GPL-2.0
//! What the zones of a group are to the device, and commands on their way to them.

/// What the zones of a group are to the device. Of a group of tree blocks the write order knows whether they are active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::space) enum Activity {
    /// They hold no active resources.
    Asleep,
    /// They hold active resources, or need none.
    Awake,
    /// A command is on its way to them: nobody else sends one, and nothing is activated there.
    Commanded,
    /// Their group is on its way out, and they are reset when that is durable: nobody sends a command before.
    Leaving,
}

/// The right to send a command to the zones of a group: to finish or reset them, or to count them as full. There is one at
/// a time, so no zone is finished that somebody empties. It is used up by [`Activity::end`] or
/// [`Activity::undo`]; until then the zones take no other.
#[must_use = "the zones take no other command before this one has ended"]
pub(in crate::space) struct Command {
    before: Activity,
}

impl Activity {
    /// Whether the zones hold active resources for the group, or need none.
    pub(in crate::space) fn is_awake(self) -> bool {
        self == Self::Awake
    }

    /// Whether a command is on its way to the zones: they may hold no active resources soon.
    pub(in crate::space) fn is_commanded(self) -> bool {
        self == Self::Commanded
    }

    /// Begins a command to the zones, unless one is on its way or the group is on its way out.
    pub(in crate::space) fn command(&mut self) -> Option<Command> {
        self.begin(Self::Commanded)
    }

    /// Has the zones take no command until the group is gone, or this is undone.
    pub(in crate::space) fn leave(&mut self) -> Option<Command> {
        self.begin(Self::Leaving)
    }

    fn begin(&mut self, next: Self) -> Option<Command> {
        match *self {
            Self::Commanded | Self::Leaving => None,
            before @ (Self::Asleep | Self::Awake) => {
                *self = next;
                Some(Command { before })
            }
        }
    }

    /// A command has ended: the zones hold no active resources any more.
    pub(in crate::space) fn end(&mut self, command: Command) {
        let Command { before: _ } = command;
        *self = Self::Asleep;
    }

    /// A command was not sent, or nobody knows what became of it: the zones count as what they were before.
    pub(in crate::space) fn undo(&mut self, command: Command) {
        *self = command.before;
    }
}
