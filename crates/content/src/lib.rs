//! Verified content: which bytes of a film are here, and proof that they are the right ones.
//!
//! A resource is named by its BLAKE3 hash. BLAKE3 is a tree, so that any run of blocks can be proved
//! with the few hashes between it and the root: that is the *Bao encoding* of the run, and the only form
//! in which content enters or leaves. [`Store::accept`] verifies it and keeps what is right,
//! [`Store::encode`] gives it out, [`Store::read_at`] gives plain bytes to a player. No byte comes out
//! that wasn't verified, whatever happened to the disk.
//!
//! A link claims a size. The shape of the tree hangs on it, and the claim is proved with the last block,
//! since only at the true end does a BLAKE3 tree have its last chunk. Hence the first run to be accepted
//! holds the last block, and until it verifies nothing is stored and nothing is allocated for the size.
//!
//! There is one contract, [`Store`], with two stores: [`MemoryStore`], and [`DiskStore`], of which a
//! [`Library`] keeps a folder full. On disk the tree itself is the journal: pull the plug at any moment,
//! and hashing what is there tells exactly what was verified.
//!
//! A file that the user already has is *imported*: hashed in place, never copied, never written to.
//!
//! It does not know where encodings come from or who asks (`network`, `transfer`), nor which block to
//! fetch next (`schedule`). Every call blocks; call from a thread that may wait.

mod assemble;
mod decode;
mod disk;
mod hash;
mod library;
mod memory;
mod store;
mod tree;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod testing;

pub use assemble::{assemble, pairs_for, pairs_len};
pub use disk::DiskStore;
pub use hash::{HashError, ImportProgress, hash_file, hash_with_pairs};
pub use library::{Entry, Library, LibraryError, Origin, link_name};
pub use memory::MemoryStore;
pub use store::{AcceptError, Fault, Location, Store, StoreError};
pub use tree::{PAIR_BYTES, common_parents, encoded_len};
