//! One holder of one resource, in 8 bytes.

use nearcast_protocol::Role;

use crate::{home::HomeId, node::Slot};

/// Bits for how much is held: thousandths, and one value more.
const SHARE_BITS: u32 = 10;
const SLOT_BITS: u32 = 30;
/// More nodes than these can't be remembered: their numbers wouldn't fit.
pub(crate) const SLOTS: u32 = 1 << SLOT_BITS;
/// More homes than these can't be.
pub(crate) const HOMES: u32 = 1 << (64 - SLOT_BITS - SHARE_BITS);

/// In place of 1000, for what has all of it and is a publisher: terminals are counted apart (R7 b).
const PUBLISHER: u64 = 1001;

/// Who holds it, where he is at home and how much he holds. Holders of one home stand together when sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder(u64);

/// By what a resource's holders are sorted: home, then slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    pub fn new(home: HomeId, slot: Slot) -> Self {
        Self(u64::from(home) << SLOT_BITS | u64::from(slot))
    }

    pub fn home(self) -> HomeId {
        // What is left is no longer than homes are.
        (self.0 >> SLOT_BITS) as HomeId
    }

    /// What comes before all that are at this home, and after all at those before it.
    pub fn start(home: HomeId) -> Self {
        Self::new(home, 0)
    }

    pub fn end(home: HomeId) -> Self {
        Self((u64::from(home) + 1) << SLOT_BITS)
    }
}

impl Holder {
    pub fn new(home: HomeId, slot: Slot, role: Role, permille: u16) -> Self {
        let share = match role {
            Role::Publisher if permille >= 1000 => PUBLISHER,
            _ => permille.min(1000).into(),
        };
        Self(Key::new(home, slot).0 << SHARE_BITS | share)
    }

    pub fn key(self) -> Key {
        Key(self.0 >> SHARE_BITS)
    }

    pub fn slot(self) -> Slot {
        (self.0 >> SHARE_BITS) as u32 & (SLOTS - 1)
    }

    pub fn home(self) -> HomeId {
        (self.0 >> (SHARE_BITS + SLOT_BITS)) as u32
    }

    /// How much of the resource it holds, in thousandths.
    pub fn permille(self) -> u16 {
        (self.share() as u16).min(1000)
    }

    pub fn complete(self) -> bool {
        self.share() >= 1000
    }

    pub fn complete_terminal(self) -> bool {
        self.share() == 1000
    }

    fn share(self) -> u64 {
        self.0 & ((1 << SHARE_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost(home in 0..HOMES, slot in 0..SLOTS, permille in 0u16..=1000, publisher in 0..2) {
            let role = if publisher == 1 { Role::Publisher } else { Role::Terminal };
            let holder = Holder::new(home, slot, role, permille);
            prop_assert_eq!((holder.home(), holder.slot(), holder.permille()), (home, slot, permille));
            prop_assert_eq!(holder.complete(), permille == 1000);
            prop_assert_eq!(holder.complete_terminal(), permille == 1000 && role == Role::Terminal);
            prop_assert_eq!(holder.key(), Key::new(home, slot));
            assert!((Key::start(home)..Key::end(home)).contains(&holder.key()));
        }
    }
}
