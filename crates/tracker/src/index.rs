//! From a key to the number that stands for it.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

/// A table that grows moves all that is in it, while a request waits; with this many, each moves little.
const SHARDS: usize = 64;

/// Key → number. The keys themselves stay where the numbers lead: here an entry takes some 10 bytes. The
/// hash is keyed by chance, since strangers choose the keys.
pub(crate) struct Index {
    shards: Vec<HashTable<u32>>,
    hasher: RandomState,
}

impl Index {
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), hasher: RandomState::new() }
    }

    /// The number of a key; `is` tells whether a number is that of the key.
    pub fn get(&self, key: &impl Hash, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.shards.get(shard(hash))?.find(hash, |number| is(*number)).copied()
    }

    /// Notes the number of a key that has none yet; `key_of` is asked for the keys of others.
    pub fn insert<'a, K: Hash + 'a>(&mut self, key: &K, number: u32, key_of: impl Fn(u32) -> Option<&'a K>) {
        let hash = self.hasher.hash_one(key);
        if let Some(shard) = self.shards.get_mut(shard(hash)) {
            let hasher = &self.hasher;
            let rehash = |number: &u32| key_of(*number).map(|key| hasher.hash_one(key)).unwrap_or_default();
            shard.insert_unique(hash, number, rehash);
        }
    }

    pub fn remove(&mut self, key: &impl Hash, mut is: impl FnMut(u32) -> bool) {
        let hash = self.hasher.hash_one(key);
        if let Some(shard) = self.shards.get_mut(shard(hash))
            && let Ok(found) = shard.find_entry(hash, |number| is(*number))
        {
            found.remove();
            if shard.is_empty() {
                *shard = HashTable::new();
            }
        }
    }
}

/// Bits that the tables themselves make no use of: those go by the lowest and the highest seven.
fn shard(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}
