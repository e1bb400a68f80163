//! The system calls that no instance needs, refused before the kernel looks at them (seccomp(2), classic BPF).
//!
//! Capabilities already forbid most of these; the filter takes away the code that a bug could be in. Everything else is
//! allowed: an instance runs programs that we have never seen.

use std::io;

use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, c_long, sock_filter};

/// Installs the filter for the calling thread and all it will start. Needs `no_new_privs`.
pub(crate) fn install() -> io::Result<()> {
    let mut program = program();
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let header = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: `header` points to `len` instructions that outlive the call; the kernel copies them.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const header) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Refused with `EPERM` whatever the arguments.
const REFUSED: &[c_long] = &[
    // Mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // Other namespaces.
    libc::SYS_setns,
    // The kernel itself.
    libc::SYS_kexec_load,
    SYS_KEXEC_FILE_LOAD,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    // Wide interfaces that have a history.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    // Keys are not namespaced.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Files by number instead of by path.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Memory of other nodes.
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
];

#[cfg(target_arch = "x86_64")]
const SYS_KEXEC_FILE_LOAD: c_long = libc::SYS_kexec_file_load;
#[cfg(target_arch = "aarch64")]
const SYS_KEXEC_FILE_LOAD: c_long = 294;

/// `AUDIT_ARCH_..`: the calling convention the numbers above belong to.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;

/// Numbers from here on are the x32 convention: the same calls once more.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

// Offsets in `struct seccomp_data`; arguments are 64 bits wide, and all that we look at is in the lower half.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

const fn errno(code: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | code.unsigned_abs()
}

fn program() -> Vec<sock_filter> {
    let mut program = vec![load(ARCH), jump(BPF_JEQ, ARCHITECTURE, 1, 0), end(KILL), load(NUMBER)];
    #[cfg(target_arch = "x86_64")]
    program.extend([jump(libc::BPF_JGE, X32, 0, 1), end(errno(libc::ENOSYS))]);
    for &call in REFUSED {
        program.extend([jump(BPF_JEQ, number(call), 0, 1), end(errno(libc::EPERM))]);
    }
    // Its flags are behind a pointer; libraries fall back to `clone`.
    program.extend([jump(BPF_JEQ, number(libc::SYS_clone3), 0, 1), end(errno(libc::ENOSYS))]);
    // A user namespace would give all capabilities over what is made in it.
    let new_user = libc::CLONE_NEWUSER.unsigned_abs();
    for call in [libc::SYS_clone, libc::SYS_unshare] {
        program.extend([
            jump(BPF_JEQ, number(call), 0, 4),
            load(ARGUMENTS),
            jump(BPF_JSET, new_user, 0, 1),
            end(errno(libc::EPERM)),
            end(ALLOW),
        ]);
    }
    // Typing into a terminal that the instance was lent (`peerway exec`), and what else consoles obey.
    program.extend([
        jump(BPF_JEQ, number(libc::SYS_ioctl), 0, 5),
        load(ARGUMENTS + 8),
        jump(BPF_JEQ, TIOCSTI, 1, 0),
        jump(BPF_JEQ, TIOCLINUX, 0, 1),
        end(errno(libc::EPERM)),
        end(ALLOW),
    ]);
    program.push(end(ALLOW));
    program
}

const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;

/// System-call numbers are small and positive.
fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn instruction(code: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    // All opcodes of classic BPF fit in eight bits.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: if_true, jf: if_false, k }
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn jump(condition: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(BPF_JMP | condition | BPF_K, k, if_true, if_false)
}

fn end(verdict: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, verdict, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would, on one call.
    fn verdict(arch: u32, call: c_long, arguments: [u32; 2]) -> u32 {
        let program = program();
        let (mut accumulator, mut at) = (0, 0);
        for _ in 0..program.len() {
            let step = program[at];
            at += 1;
            let code = u32::from(step.code);
            if code == BPF_RET | BPF_K {
                return step.k;
            }
            if code == BPF_LD | BPF_W | BPF_ABS {
                accumulator = match step.k {
                    NUMBER => number(call),
                    ARCH => arch,
                    k => arguments[usize::try_from((k - ARGUMENTS) / 8).unwrap()],
                };
                continue;
            }
            let hit = match code & 0xf0 {
                BPF_JEQ => accumulator == step.k,
                BPF_JSET => accumulator & step.k != 0,
                _ => accumulator >= step.k,
            };
            at += usize::from(if hit { step.jt } else { step.jf });
        }
        panic!("the program has no end");
    }

    #[test]
    fn refuses_what_it_lists_and_nothing_else() {
        for &call in REFUSED {
            assert_eq!(verdict(ARCHITECTURE, call, [0; 2]), errno(libc::EPERM), "call {call}");
        }
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_ptrace, libc::SYS_socket, libc::SYS_chroot] {
            assert_eq!(verdict(ARCHITECTURE, call, [u32::MAX; 2]), ALLOW, "call {call}");
        }
        assert_eq!(verdict(ARCHITECTURE, libc::SYS_clone3, [0; 2]), errno(libc::ENOSYS));
    }

    #[test]
    fn looks_at_the_arguments_that_matter() {
        let user = libc::CLONE_NEWUSER.unsigned_abs();
        for call in [libc::SYS_clone, libc::SYS_unshare] {
            assert_eq!(verdict(ARCHITECTURE, call, [user | 0x11, 0]), errno(libc::EPERM));
            assert_eq!(verdict(ARCHITECTURE, call, [0x11, 0]), ALLOW);
        }
        for request in [TIOCSTI, TIOCLINUX] {
            assert_eq!(verdict(ARCHITECTURE, libc::SYS_ioctl, [0, request]), errno(libc::EPERM));
        }
        assert_eq!(verdict(ARCHITECTURE, libc::SYS_ioctl, [TIOCSTI, 0x5413]), ALLOW);
    }

    #[test]
    fn other_calling_conventions_are_no_way_round() {
        assert_eq!(verdict(0x4000_0003, libc::SYS_read, [0; 2]), KILL);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(verdict(ARCHITECTURE, c_long::from(0x4000_0000 + 165), [0; 2]), errno(libc::ENOSYS));
    }
}
