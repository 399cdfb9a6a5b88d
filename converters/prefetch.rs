//! Memory that will be needed soon, fetched into the caches.

/// Has the cache line of `place` fetched, without waiting for it. Where the processor has no
/// instruction for it that we know, nothing happens.
#[inline(always)]
pub fn fetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction is part of SSE, which every x86-64 has; it neither reads nor writes
        // what a program can see, nor does it fault, whatever the address; this one is a reference's.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
