//! The raw counter that records are stamped with.

#![allow(unsafe_code, reason = "reading a hardware counter, and clock_gettime")]

use crate::sync::{AtomicU64, Ordering};

/// Where ticks come from.
#[derive(Debug)]
pub(super) enum Counter {
    /// The time-stamp counter of x86-64, when the processor says that it runs at one rate in all states.
    #[cfg(target_arch = "x86_64")]
    Tsc,
    /// The virtual counter of arm64, which the architecture keeps at one rate.
    #[cfg(target_arch = "aarch64")]
    Cntvct,
    /// Nanoseconds of the operating system's monotonic clock.
    Monotonic,
    /// Counts its own readings, or what a test sets: one order of all readings, as good hardware gives.
    Manual(AtomicU64),
}

impl Counter {
    pub(super) fn best() -> Counter {
        #[cfg(target_arch = "x86_64")]
        if has_invariant_tsc() {
            return Counter::Tsc;
        }
        #[cfg(target_arch = "aarch64")]
        return Counter::Cntvct;
        #[allow(unreachable_code, reason = "reached where no hardware counter will do")]
        Counter::Monotonic
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Counter::Tsc => "tsc",
            #[cfg(target_arch = "aarch64")]
            Counter::Cntvct => "cntvct",
            Counter::Monotonic => "monotonic",
            Counter::Manual(_) => "manual",
        }
    }

    /// May be read a little ahead of the instructions before it, unless a barrier stands between.
    #[inline(always)]
    pub(super) fn read(&self) -> u64 {
        // The usual one first, and alone: one compare.
        #[cfg(target_arch = "x86_64")]
        if matches!(self, Counter::Tsc) {
            // SAFETY: rdtsc is part of every x86-64; it touches no memory.
            return unsafe { core::arch::x86_64::_rdtsc() };
        }
        #[cfg(target_arch = "aarch64")]
        if matches!(self, Counter::Cntvct) {
            return read_cntvct();
        }
        self.read_other()
    }

    #[inline(never)]
    fn read_other(&self) -> u64 {
        match self {
            // Relaxed: a read-modify-write always takes the newest value, and all of them stand in one order.
            Counter::Manual(ticks) => ticks.fetch_add(1, Ordering::Relaxed),
            _ => monotonic_ns(),
        }
    }

    /// Read neither before what stands before it nor after what stands behind it.
    #[inline]
    pub(super) fn read_ordered(&self) -> u64 {
        wait_for_instructions();
        let ticks = self.read();
        wait_for_instructions();
        ticks
    }
}

/// Keeps a reading of the counter, which is no memory access and heeds no fence of memory, from moving across. (Intel SDM,
/// RDTSC: "LFENCE"; Arm ARM, D11: the counter may be read out of order, "ISB".)
#[inline(always)]
pub(crate) fn wait_for_instructions() {
    // SAFETY: lfence is part of SSE2, which every x86-64 has; it touches no memory.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_lfence();
    }
    // SAFETY: isb is part of every arm64; it touches no memory.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("isb", options(nostack));
    }
}

/// AMD APM volume 3 and Intel SDM volume 2, CPUID 8000_0007h, EDX bit 8: invariant TSC.
#[cfg(target_arch = "x86_64")]
fn has_invariant_tsc() -> bool {
    use core::arch::x86_64::__cpuid;
    #[allow(unused_unsafe, reason = "safe from Rust 1.94 on")]
    // SAFETY: every x86-64 has cpuid; a leaf beyond the highest one is not asked for.
    unsafe {
        __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & 1 << 8 != 0
    }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn read_cntvct() -> u64 {
    let ticks: u64;
    // SAFETY: Linux and macOS let user code read this register. Not marked free of memory effects, so that the compiler
    // keeps it behind the announcement.
    unsafe {
        core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nostack));
    }
    ticks
}

#[cfg(unix)]
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(not(unix))]
fn monotonic_ns() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START
        .get_or_init(std::time::Instant::now)
        .elapsed()
        .as_nanos() as u64
}
