//! What a process of an instance may do: capabilities(7), `no_new_privs`, and a system-call filter.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// What container runtimes leave to a container, and the network of its own namespace. All of it counts only inside the
/// instance's user namespace.
pub(crate) const INSTANCE: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::NET_ADMIN);

/// What PID 1 keeps besides: it reads `/proc/PID/fd` of processes of other users of the instance to find files that
/// were deleted and still take space.
pub(crate) const INIT: CapabilitySet = INSTANCE.union(CapabilitySet::SYS_PTRACE);

/// Gives up everything but `keep`, for good: permitted, effective and bounding set; ambient and inheritable become
/// empty. Only the calling thread; a helper has no other.
pub(crate) fn keep_capabilities(keep: CapabilitySet) -> io::Result<()> {
    clear_ambient_capability_set()?;
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // The first number that the kernel does not know is beyond its last capability.
        let Ok(bounded) = capability_is_in_bounding_set(capability) else { break };
        if bounded && !keep.contains(capability) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    Ok(set_capabilities(
        None,
        CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() },
    )?)
}

/// No program run from here on gains privileges by being run, and the kernel's doors that no instance needs are shut.
pub(crate) fn lock() -> io::Result<()> {
    set_no_new_privs(true)?;
    crate::seccomp::install()
}
