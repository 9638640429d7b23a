//! The only memory that is shared with the kernel: a table of words, mapped. Each word is read and written in one
//! piece, so a packet meets an old word or a new one, never half of each.

#![expect(unsafe_code, reason = "memory of a BPF map is reached through a mapping")]

use std::{
    io,
    os::fd::BorrowedFd,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapped array of words; it lives as long as this does, also when the last descriptor is closed.
#[derive(Debug)]
pub(super) struct Words {
    start: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached through atomics alone.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    /// Maps an array map (`BPF_F_MMAPABLE`, values of whole words) of `len` words.
    ///
    /// # Errors
    /// The kernel refuses, as it does where the map is not mmapable or has fewer words.
    pub(super) fn map(map: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        let len = len as usize;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses an address of its own, so no memory in use is replaced.
        let start = unsafe { mmap(ptr::null_mut(), len * 8, access, MapFlags::SHARED, map, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, len })
    }

    /// Number of words.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    /// One word; `None` past the end.
    pub(super) fn get(&self, index: u32) -> Option<u64> {
        self.words().get(index as usize).map(|word| word.load(Ordering::Acquire))
    }

    /// All words that are not zero, with their indices.
    pub(super) fn set_words(&self) -> impl Iterator<Item = (u32, u64)> {
        (0..)
            .zip(self.words())
            .map(|(index, word)| (index, word.load(Ordering::Acquire)))
            .filter(|(_, w)| *w != 0)
    }

    /// Sets all words to zero. Only those that are not are written: the others may never have been touched.
    pub(super) fn clear(&mut self) {
        for word in self.words().iter().filter(|word| word.load(Ordering::Acquire) != 0) {
            word.store(0, Ordering::Release);
        }
    }

    /// Replaces a word in one store; `None` past the end. Whoever sees it also sees what was written before.
    #[must_use]
    pub(super) fn set(&mut self, index: u32, word: u64) -> Option<()> {
        self.words().get(index as usize).map(|place| place.store(word, Ordering::Release))
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is the page-aligned start of a mapping of at least `len * 8` bytes that only `drop` ends;
        // the kernel maps an array of that many words or fails. All access to it from here is atomic, any bits are a
        // valid word, and programs in the kernel read and write whole words.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, and every borrow of it has ended.
        let result = unsafe { munmap(self.start.as_ptr().cast(), self.len * 8) };
        debug_assert_eq!(result, Ok(()));
    }
}
