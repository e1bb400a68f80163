//! Instances: what they can do, and by trying, what they cannot.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use linux::namespace::in_netns;
use linux::netlink::{LinkChange, Netlink};
use linux::process::Birth;
use linux::sandbox::{Ending, Exec, Record, Sandbox, remove_files};
use linux::tap::{self, Offloads, Tap};

use crate::Test;
use crate::support::{Place, eventually, path_in, run, sh, sh_fails};

pub(crate) const CREATOR_WORD: &str = "creator";

pub(crate) const TESTS: &[Test] = &[
    ("sandbox::sees_only_its_own", sees_only_its_own),
    ("sandbox::host_files_are_out_of_reach", host_files_are_out_of_reach),
    ("sandbox::dangerous_calls_are_refused", dangerous_calls_are_refused),
    ("sandbox::user_data_serves_on_loopback", user_data_serves_on_loopback),
    ("sandbox::user_data_kinds", user_data_kinds),
    ("sandbox::exit_codes_and_signals_pass_through", exit_codes_and_signals_pass_through),
    ("sandbox::a_caller_is_told_without_the_maker", a_caller_is_told_without_the_maker),
    ("sandbox::a_terminal_of_its_own", a_terminal_of_its_own),
    ("sandbox::fork_bomb_is_contained", fork_bomb_is_contained),
    ("sandbox::memory_bomb_is_contained", memory_bomb_is_contained),
    ("sandbox::disk_bomb_is_contained", disk_bomb_is_contained),
    ("sandbox::deleting_the_tap_is_survived", deleting_the_tap_is_survived),
    ("sandbox::state_is_kept_over_stop_and_start", state_is_kept_over_stop_and_start),
    ("sandbox::links_left_behind_lead_nowhere", links_left_behind_lead_nowhere),
    ("sandbox::terminate_removes_all", terminate_removes_all),
    ("sandbox::an_unstarted_instance_ends_with_its_maker", an_unstarted_instance_ends_with_its_maker),
    ("sandbox::a_killed_maker_leaves_what_a_record_finds", a_killed_maker_leaves_what_a_record_finds),
    ("sandbox::how_it_ended_is_known_without_its_maker", how_it_ended_is_known_without_its_maker),
    ("sandbox::init_cannot_be_hurt_from_inside", init_cannot_be_hurt_from_inside),
    ("sandbox::many_at_once_and_apart", many_at_once_and_apart),
    ("sandbox::nothing_is_inherited", nothing_is_inherited),
    ("sandbox::failures_are_told", failures_are_told),
    ("sandbox::doctor_finds_this_machine_well", doctor_finds_this_machine_well),
];

/// What every instance must show, whoever made it.
pub(crate) fn sees_only_its_own() {
    let place = Place::new("");
    let sandbox = place.start();
    // Processes: its init and the shell.
    assert_eq!(sh(&sandbox, "cat /proc/1/comm"), "init");
    let pids = sh(&sandbox, "ls /proc | grep -c '^[0-9]'");
    assert!(pids.parse::<u32>().expect("a number") <= 5, "{pids} processes");
    // Network: a loopback, up.
    assert_eq!(sh(&sandbox, "ls /sys/class/net"), "lo");
    assert!(sh(&sandbox, "ip -o addr show lo").contains("127.0.0.1/8"));
    assert!(sh(&sandbox, "ip -o link").lines().count() == 1);
    // Names.
    assert_eq!(sh(&sandbox, "hostname; cat /etc/hostname"), "ip-10-16-0-10\nip-10-16-0-10");
    assert_eq!(sh(&sandbox, "cat /etc/resolv.conf"), "nameserver 10.16.0.2");
    assert!(sh(&sandbox, "cat /etc/hosts").contains("10.16.0.10 ip-10-16-0-10"));
    assert_eq!(sh(&sandbox, "id -u; id -un; echo $HOME; pwd"), "0\nroot\n/root\n/root");
    // It can work: programs, temporary files, devices, terminals, its own network settings.
    assert_eq!(sh(&sandbox, "busybox echo well"), "well");
    sh(&sandbox, "echo x > /tmp/f && echo x > /run/f && echo x > /dev/shm/f && echo x > /root/f && mkdir /data");
    sh(&sandbox, "head -c 9 /dev/urandom > /dev/null && head -c 9 /dev/zero >/dev/full && exit 1 || exit 0");
    sh(&sandbox, "ip link add type veth && ip addr add 10.9.9.9/24 dev veth0 && ip link set veth0 up");
    assert!(sh(&sandbox, "cat /proc/sys/net/ipv4/ping_group_range").starts_with("0\t"));
    sh(&sandbox, "echo 1 > /proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward");
    sandbox.kill().expect("killed");
}

fn host_files_are_out_of_reach() {
    let place = Place::new("");
    let secret = place.directory.path().join("secret");
    fs::write(&secret, "host").expect("written");
    let own_exe = std::env::current_exe().expect("own path");
    let sandbox = place.start();
    for path in [
        secret.to_str().expect("a path"),
        own_exe.to_str().expect("a path"),
        "/work",
        "/root/.ssh",
        "/root/.pyenv",
        "/root/.cargo",
        "/etc/shadow",
        "/etc/ssl/private",
        "/etc/ssh",
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/var/lib/dpkg",
        "/dev/vda",
        "/dev/kvm",
        "/dev/net/tun",
        "/dev/mem",
        "/dev/loop-control",
        "/boot",
        "/farm",
        "/container_info.json",
        "/proc/1/root/work",
        "/proc/1/cwd/work",
    ] {
        sh_fails(&sandbox, &format!("ls -d {path}"));
    }
    assert_eq!(sh(&sandbox, "ls -A /tmp /home /root /mnt /srv /opt | grep -v :$ | grep -c . || true"), "0");
    for masked in ["kcore", "keys", "sysrq-trigger", "timer_list"] {
        sh(&sandbox, &format!("test -c /proc/{masked} || ! test -e /proc/{masked}"));
    }
    // Read-only and locked, even where ids would already forbid writing.
    for mount in ["/usr", "/sys", "/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs", "/etc/ssl/certs"] {
        sh(&sandbox, &format!("grep -q ' {mount} ro,nosuid' /proc/self/mountinfo || ! test -e {mount}"));
    }
    for script in [
        "touch /usr/bin/x",
        "rm /usr/bin/env",
        "touch /etc/alternatives/x",
        "touch /etc/ssl/certs/x",
        "echo 1 > /proc/sys/kernel/panic",
        "echo 1 > /proc/irq/default_smp_affinity",
        "touch /sys/x",
        "test -s /proc/kcore",
        "test -s /proc/keys",
        "ls /sys/firmware/*",
    ] {
        sh_fails(&sandbox, script);
    }
    sandbox.kill().expect("killed");
}

fn dangerous_calls_are_refused() {
    let place = Place::new("");
    let sandbox = place.start();
    for script in [
        "mount -t tmpfs none /mnt",
        "mount --bind /tmp /usr",
        "umount /usr",
        "umount /proc/kcore",
        "mount -o remount,rw /usr",
        "unshare -U true",
        "unshare -Ur true",
        "unshare -n true",
        "nsenter -t 1 -n true",
        "mknod /dev/mine b 254 0 && cat /dev/mine",
        "mknod /tmp/mine c 1 1 && cat /tmp/mine",
        "busybox insmod /usr/bin/env",
        "busybox dmesg",
        "busybox reboot -f",
        "busybox hostname other",
        "busybox chroot /proc/1/root true",
    ] {
        sh_fails(&sandbox, script);
    }
    let status = sh(&sandbox, "cat /proc/self/status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("Seccomp"), "2");
    // chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_admin net_raw sys_chroot mknod
    // audit_write setfcap.
    let allowed = u64::from_str_radix("00000000a80435fb", 16).expect("hex") | 1 << 12;
    for name in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(u64::from_str_radix(&field(name), 16).expect("hex"), allowed, "{name}");
    }
    for name in ["CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&field(name), 16).expect("hex"), 0, "{name}");
    }
    sandbox.kill().expect("killed");
}

pub(crate) fn user_data_serves_on_loopback() {
    let place = Place::new("#!/bin/sh\necho hello > /tmp/index.html\nexec busybox httpd -f -p 80 -h /tmp\n");
    let mut sandbox = place.create();
    std::thread::sleep(Duration::from_millis(100));
    sh_fails(&sandbox, "busybox wget -qO- http://127.0.0.1/index.html");
    sandbox.start().expect("starts");
    assert!(sandbox.start().is_err(), "once only");
    eventually("the server answers", || {
        let (output, _) = run(&sandbox, &["busybox", "wget", "-qO-", "http://127.0.0.1/index.html"]);
        output.trim() == "hello"
    });
    sandbox.kill().expect("killed");
}

fn user_data_kinds() {
    let place = Place::new("echo plain text runs; echo on stderr >&2; exit 7");
    let sandbox = place.start();
    place.wait_for_log("exit code 7");
    let log = place.log();
    assert!(log.contains("plain text runs\n") && log.contains("on stderr\n"), "{log}");
    assert!(sandbox.is_running().expect("polled"), "it stays");
    sandbox.kill().expect("killed");
    let place = Place::new("#cloud-config\npackages: [nginx]\n");
    let sandbox = place.start();
    place.wait_for_log("the user data is a cloud-config, which is not run here");
    assert!(sh(&sandbox, "cat /var/lib/cloud/instance/user-data.txt").contains("nginx"));
    sandbox.kill().expect("killed");
    let place = Place::new("#!/no/such/interpreter\n");
    let sandbox = place.start();
    place.wait_for_log("cannot run the user data");
    sandbox.kill().expect("killed");
    // Orphans are reaped, and output without end keeps the log bounded.
    let place =
        Place::new("#!/bin/sh\n(sleep 0.1 &) ; (sleep 0.1 &)\nyes $(seq 200) | head -c 5000000\necho the end\n");
    let sandbox = place.start();
    place.wait_for_log("the end");
    assert!(place.log().len() <= 1 << 20);
    eventually("no zombies", || !sh(&sandbox, "cat /proc/[0-9]*/status | grep State || true").contains('Z'));
    sandbox.kill().expect("killed");
}

pub(crate) fn exit_codes_and_signals_pass_through() {
    let place = Place::new("");
    let sandbox = place.start();
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(run(&sandbox, &["sh", "-c", script]).1.code(), Some(code), "{script}");
    }
    let (output, status) = run(&sandbox, &["no-such-program"]);
    assert_eq!(status.code(), Some(127), "{output}");
    assert!(output.contains("cannot run `no-such-program`"), "{output}");
    assert_eq!(run(&sandbox, &["/etc/hosts"]).1.code(), Some(126));
    // A directory of the host is a way out, and not lent.
    let root = || fs::File::open("/").expect("opened").into();
    let exec = Exec { argv: vec!["true".into()], ..Exec::default() };
    let mut child = sandbox.exec(&exec, [root(), root(), root()]).expect("starts");
    assert_eq!(child.wait().expect("it ends").code(), Some(125));
    // A signal to the helper reaches the command.
    let null = || fs::File::options().read(true).write(true).open("/dev/null").expect("null").into();
    let script = "trap 'exit 5' TERM; touch /tmp/ready; while :; do sleep 0.05; done";
    let exec = Exec { argv: ["sh", "-c", script].map(Into::into).to_vec(), ..Exec::default() };
    let mut child = sandbox.exec(&exec, [null(), null(), null()]).expect("starts");
    eventually("the trap is set", || run(&sandbox, &["test", "-e", "/tmp/ready"]).1.success());
    let pidfd = Birth::of(child.id()).expect("it runs").open().expect("opened").expect("it runs");
    linux::process::signal(&pidfd, rustix::process::Signal::TERM).expect("sent");
    assert_eq!(child.wait().expect("it ends").code(), Some(5));
    // A killed helper takes the command with it.
    let exec = Exec { argv: ["sleep", "1234"].map(Into::into).to_vec(), ..Exec::default() };
    let mut child = sandbox.exec(&exec, [null(), null(), null()]).expect("starts");
    let running = || sh(&sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").contains("sleep 1234");
    eventually("it runs", running);
    child.kill().expect("killed");
    child.wait().expect("it ends");
    eventually("it is gone", || !running());
    sandbox.kill().expect("killed");
}

pub(crate) fn a_caller_is_told_without_the_maker() {
    let place = Place::new("");
    let sandbox = place.start();
    let null = || OwnedFd::from(fs::File::options().read(true).write(true).open("/dev/null").expect("null"));
    let start = |script: &str| {
        let (told, ending) = std::io::pipe().expect("a pipe");
        let exec = Exec { argv: ["sh", "-c", script].map(Into::into).to_vec(), ..Exec::default() };
        let child = sandbox.exec_apart(&exec, [null(), null(), null()], ending.into()).expect("starts");
        (told, child)
    };
    let read = |mut told: std::io::PipeReader| {
        let mut bytes = Vec::new();
        told.read_to_end(&mut bytes).expect("told");
        bytes
    };
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 143)] {
        let (told, mut child) = start(script);
        assert_eq!(read(told), [code], "{script}");
        child.wait().expect("it ends");
    }
    // Nobody waits any more: the command is asked to end.
    let (told, mut child) = start("trap 'exit 5' TERM; touch /tmp/waiting; while :; do sleep 0.05; done");
    eventually("the trap is set", || run(&sandbox, &["test", "-e", "/tmp/waiting"]).1.success());
    drop(told);
    assert_eq!(child.wait().expect("it ends").code(), Some(5));
    // A killed helper says nothing, and is heard not to.
    let (told, mut child) = start("exec sleep 1234");
    child.kill().expect("killed");
    assert!(read(told).is_empty());
    child.wait().expect("it ends");
    sandbox.kill().expect("killed");
}

pub(crate) fn a_terminal_of_its_own() {
    use rustix::pty::{OpenptFlags, openpt, unlockpt};
    let place = Place::new("");
    let sandbox = place.start();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    unlockpt(&master).expect("unlocked");
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).expect("the other end");
    let mut size = rustix::termios::tcgetwinsize(&slave).expect("a size");
    (size.ws_row, size.ws_col) = (33, 99);
    rustix::termios::tcsetwinsize(&slave, size).expect("sized");
    let before = rustix::termios::tcgetattr(&slave).expect("attributes");
    let stdio = [0; 3].map(|_| slave.try_clone().expect("a descriptor"));
    let exec = Exec {
        argv: ["sh", "-c", "tty; stty size; read word; echo got $word; exit 3"].map(Into::into).to_vec(),
        env: vec![("TERM".into(), "xterm".into())],
        directory: None,
        terminal: true,
    };
    let mut child = sandbox.exec(&exec, stdio).expect("starts");
    let mut shown = String::new();
    let mut read_until = |text: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !shown.contains(text) {
            assert!(Instant::now() < deadline, "no `{text}` in `{shown}`");
            if linux::poll::readable(&master, Duration::from_millis(100)).expect("polled") {
                let mut buffer = [0; 1024];
                let count = rustix::io::read(&master, &mut buffer).expect("read");
                shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
    };
    read_until("/dev/pts/0");
    read_until("33 99");
    rustix::io::write(&master, b"abc\r").expect("typed");
    read_until("got abc");
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
    let after = rustix::termios::tcgetattr(&slave).expect("attributes");
    assert_eq!(format!("{before:?}"), format!("{after:?}"), "the caller's terminal is as it was");
    sandbox.kill().expect("killed");
}

/// Every shell leaves a sleeper behind, so the bomb still stands when a busy machine lets us look at it late.
pub(crate) const FORK_BOMB: &str = "#!/bin/sh\nbomb() { sleep 60 & bomb | bomb & }\nbomb\n";

pub(crate) fn fork_bomb_is_contained() {
    let place = Place::new(FORK_BOMB);
    let sandbox = place.start();
    let (start, mut most) = (Instant::now(), 0);
    let count = || {
        fs::read_dir("/proc").expect("proc").flatten().filter(|e| {
            let uid = e.metadata().map(|m| m.uid()).unwrap_or(0);
            uid >= place.spec.uid_base && uid < place.spec.uid_base + linux::sandbox::IDS
        })
    };
    // Looked at for three seconds at least, and on a busy machine until it has gone off.
    while start.elapsed() < Duration::from_secs(3) || most <= 40 {
        let count = count().count();
        most = most.max(count);
        assert!(count <= 70, "{count} processes");
        assert!(start.elapsed() < Duration::from_secs(60), "the bomb went off: {most} processes");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(sandbox.is_running().expect("polled"));
    let start = Instant::now();
    sandbox.kill().expect("killed");
    assert!(start.elapsed() < Duration::from_secs(5), "killed in {:?}", start.elapsed());
    assert_eq!(count().count(), 0);
}

pub(crate) fn memory_bomb_is_contained() {
    let place = Place::new("");
    let sandbox = place.start();
    // More than the limit in one program, then in several.
    let hold = |mb: u32, then: &str| format!("head -c {mb}000000 /dev/zero | tail -c {mb}000000 | {then}");
    let one = hold(700, "wc -c | grep -x 700000000");
    // Six that each hold what is allowed to one, until one of them is killed, or for 20 s.
    let many = "for i in 1 2 3 4 5 6; do head -c 90000000 /dev/zero \
        | (tail -c 90000000; test $? != 137 || touch /tmp/killed) \
        | (n=0; until test -e /tmp/killed || test $n = 200; do sleep 0.1; n=$((n+1)); done) & \
        done; wait; ! test -e /tmp/killed"
        .to_owned();
    for script in [one, many] {
        let (output, status) = run(&sandbox, &["sh", "-c", &script]);
        assert!(!status.success(), "{output}{}", place.log());
        assert!(sandbox.is_running().expect("polled"), "only the bomb died");
    }
    // What the limit allows is allowed.
    sh(&sandbox, &hold(90, "wc -c | grep -x 90000000"));
    assert_eq!(sh(&sandbox, "echo well"), "well");
    sandbox.kill().expect("killed");
}

pub(crate) fn disk_bomb_is_contained() {
    let place = Place::new("");
    let sandbox = place.start();
    // One file cannot pass the limit at all.
    sh_fails(&sandbox, "head -c 100000000 /dev/zero > /root/one");
    assert!(fs::metadata(path_in(&place, "root/one")).expect("there").len() <= place.spec.limits.disk_bytes);
    // Many files, and files without a name, are found by the watch.
    let victims = [
        "for i in 1 2 3 4; do head -c 30000000 /dev/zero > /root/f$i; done; sleep 60",
        "exec 9>/root/hidden; rm /root/hidden; head -c 60000000 /dev/zero >&9; \
         exec 8>/root/hidden; rm /root/hidden; head -c 60000000 /dev/zero >&8; sleep 60",
    ];
    for script in victims {
        // Time for the watch to see that all is well again.
        sh(&sandbox, "rm -f /root/*; sleep 4");
        let (output, status) = run(&sandbox, &["sh", "-c", script]);
        assert_eq!(status.code(), Some(137), "{output} {}", place.log());
        eventually("the log tells", || place.log().contains("disk limit: the instance has"));
    }
    // Who cleans up is let.
    sh(&sandbox, "rm -f /root/*; sleep 4; echo well");
    sandbox.kill().expect("killed");
}

pub(crate) fn deleting_the_tap_is_survived() {
    let place = Place::new("");
    let sandbox = place.start();
    let make = || {
        in_netns(sandbox.netns(), || {
            let tap = Tap::create("eth0", 2, &Offloads::LADDER).expect("a tap");
            let mut netlink = Netlink::open().expect("netlink");
            netlink.set("eth0", &LinkChange { up: Some(true), ..LinkChange::default() }).expect("up");
            tap
        })
        .expect("entered")
    };
    let tap = make();
    assert_eq!(sh(&sandbox, "ls /sys/class/net"), "eth0\nlo");
    // Its guest may configure it, and cannot take another queue of it.
    sh(&sandbox, "ip addr add 10.16.0.10/24 dev eth0 && ip link set eth0 mtu 1400");
    sh(&sandbox, "ip link del eth0");
    let mut buffer = vec![0; tap::FRAME_BUFFER_LEN];
    for queue in &tap.queues {
        assert!(tap::is_gone(&queue.read(&mut buffer).expect_err("gone")));
        assert!(tap::is_gone(&queue.write(&[0; 74]).expect_err("gone")));
    }
    drop(tap);
    let _again = make();
    assert_eq!(sh(&sandbox, "ls /sys/class/net"), "eth0\nlo");
    sandbox.kill().expect("killed");
}

pub(crate) fn state_is_kept_over_stop_and_start() {
    let place = Place::new(
        "#!/bin/sh\necho run >> /var/log/runs\ntrap 'echo bye; exit 0' TERM\necho up\nwhile :; do sleep 0.05; done\n",
    );
    let sandbox = place.start();
    place.wait_for_log("up");
    sh(&sandbox, "echo kept > /root/file; touch /run/gone; echo 'x:x:1000:1000::/:/bin/sh' >> /etc/passwd");
    sandbox.stop(Duration::from_secs(10)).expect("stopped");
    assert!(
        place.log().contains("the instance is being stopped\n") && place.log().contains("bye\n"),
        "{}",
        place.log()
    );
    let sandbox = place.start();
    eventually("it ran again", || sh(&sandbox, "wc -l < /var/log/runs") == "2");
    assert_eq!(sh(&sandbox, "cat /root/file; id -un 1000; ls /run"), "kept\nx\nlock");
    sandbox.kill().expect("killed");
}

/// An earlier run replaced directories of its root by links to the host; the next start must not follow them.
fn links_left_behind_lead_nowhere() {
    let place = Place::new("#!/bin/sh\n");
    let victim = place.directory.path().join("victim");
    fs::create_dir(&victim).expect("made");
    fs::write(victim.join("hosts"), "untouched").expect("written");
    place.start().kill().expect("killed");
    let root = &place.spec.root_dir;
    for name in ["etc", "dev", "proc", "run", "sys", "usr", "var", "tmp", "root"] {
        remove_files(&root.join(name)).expect("removed");
        symlink(&victim, root.join(name)).expect("linked");
    }
    // What the instance did to its own directories may keep it from starting: they are not ours to mend.
    let error = Sandbox::create(&place.spec).expect_err("there is no /var").to_string();
    assert!(error.contains("write the user data"), "{error}");
    for name in ["var", "tmp", "root"] {
        fs::remove_file(root.join(name)).expect("removed");
    }
    let sandbox = place.start();
    assert_eq!(sh(&sandbox, "stat -c %F /etc /dev /usr | uniq"), "directory");
    sandbox.kill().expect("killed");
    assert_eq!(fs::read_to_string(victim.join("hosts")).expect("there"), "untouched");
    assert_eq!(fs::read_dir(&victim).expect("there").count(), 1, "nothing was made in it");
}

fn terminate_removes_all() {
    let place = Place::new("#!/bin/sh\nchown 1000:1000 /home; chmod 000 /home; mkdir -p /data/a/b; sleep 1000 &\n");
    let sandbox = place.start();
    place.wait_for_log("exit code 0");
    let record = sandbox.record().clone();
    let text = serde_json::to_string(&record).expect("written");
    assert!(text.contains("cgroup"));
    let groups = cgroup_directories(&place.spec.cgroup_prefix);
    assert!(!groups.is_empty(), "root gets control groups on this machine");
    assert!(groups.iter().all(|g| fs::read_to_string(g.join("cgroup.procs")).is_ok_and(|p| !p.is_empty())));
    sandbox.kill().expect("killed");
    remove_files(&place.spec.root_dir).expect("removed");
    assert!(!place.spec.root_dir.exists());
    assert!(cgroup_directories(&place.spec.cgroup_prefix).is_empty());
    assert!(record.birth.open().expect("asked").is_none());
    assert!(!record.kill_leftover().expect("asked"), "nothing is left");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(place.directory.path().to_str().expect("a path")), "no mount is left here");
}

/// All control groups whose name begins with `prefix`.
fn cgroup_directories(prefix: &str) -> Vec<PathBuf> {
    let output =
        Command::new("find").args(["/sys/fs/cgroup", "-type", "d", "-name"]).arg(format!("{prefix}*")).output();
    let text = String::from_utf8(output.expect("find runs").stdout).expect("paths");
    text.lines().map(Into::into).collect()
}

fn an_unstarted_instance_ends_with_its_maker() {
    let place = Place::new("");
    let sandbox = place.create();
    let record = sandbox.record().clone();
    drop(sandbox);
    assert!(record.birth.open().expect("asked").is_none(), "it is gone");
    assert!(Birth::of(record.birth.pid).is_err(), "and reaped");
    assert!(cgroup_directories(&place.spec.cgroup_prefix).is_empty());
}

/// The maker of the next test: makes an instance, writes its record, and waits to be killed.
pub(crate) fn creator(arguments: &[String]) -> ExitCode {
    let place = Place::new("#!/bin/sh\nsleep 1000\n");
    let sandbox = place.start();
    let record = serde_json::to_string(sandbox.record()).expect("written");
    let (text, target) = (format!("{}\n{record}", place.directory.path().display()), &arguments[0]);
    fs::write(format!("{target}.new"), text).expect("written");
    fs::rename(format!("{target}.new"), target).expect("written");
    std::thread::sleep(Duration::from_secs(60));
    ExitCode::FAILURE
}

fn a_killed_maker_leaves_what_a_record_finds() {
    let (place, record) = of_a_killed_maker();
    // Adopted, it is as usable as before.
    let sandbox = Sandbox::adopt(record.clone()).expect("asked").expect("it still runs");
    assert_eq!(sh(&sandbox, "cat /proc/1/comm"), "init");
    drop(sandbox);
    // A stranger with the same pid is left alone.
    let mut stranger = record.clone();
    stranger.birth.start_time += 1;
    assert!(Sandbox::adopt(stranger.clone()).expect("asked").is_none());
    assert!(record.birth.open().expect("asked").is_some(), "it still runs");
    assert!(record.kill_leftover().expect("killed"));
    assert!(record.birth.open().expect("asked").is_none());
    assert!(!record.kill_leftover().expect("asked"));
    assert!(place.starts_with(std::env::temp_dir()));
    remove_files(&place).expect("removed");
}

fn how_it_ended_is_known_without_its_maker() {
    for (ends, expected) in [("kill -USR2 1", Some(Ending::ShutDown)), ("true", None)] {
        let (place, record) = of_a_killed_maker();
        let sandbox = Sandbox::adopt(record.clone()).expect("asked").expect("it still runs");
        assert_eq!((sandbox.ending().expect("asked"), record.ending().expect("asked")), (None, None));
        sh(&sandbox, ends);
        if expected.is_none() {
            linux::process::signal(sandbox.pidfd(), linux::process::Signal::KILL).expect("killed");
        }
        eventually("its end", || record.ending().expect("asked").is_some());
        let told = [sandbox.ending().expect("asked"), record.ending().expect("asked")];
        match expected {
            Some(_) => assert_eq!(told, [expected.clone(), expected]),
            None => assert!(told.iter().all(|ending| matches!(ending, Some(Ending::Broken(_)))), "{told:?}"),
        }
        let mut before = record.clone();
        before.birth.boot_id = "another".to_owned();
        assert_eq!(before.ending().expect("asked"), None, "the machine was started anew: nobody knows");
        assert!(!record.kill_leftover().expect("asked"));
        remove_files(&place).expect("removed");
    }
}

/// Where an instance lies whose maker was killed, and its record.
fn of_a_killed_maker() -> (PathBuf, Record) {
    let directory = tempfile::tempdir().expect("a directory");
    let target = directory.path().join("record");
    let exe = std::env::current_exe().expect("own path");
    let mut maker = Command::new(exe).arg(CREATOR_WORD).arg(&target).spawn().expect("starts");
    eventually("the record", || target.exists());
    maker.kill().expect("killed");
    maker.wait().expect("it ends");
    let text = fs::read_to_string(&target).expect("written");
    let (place, record) = text.split_once('\n').expect("two lines");
    (place.into(), serde_json::from_str(record).expect("a record"))
}

fn init_cannot_be_hurt_from_inside() {
    let place = Place::new("");
    let sandbox = place.start();
    for signal in ["KILL", "STOP", "SEGV", "ABRT", "HUP", "USR1", "BUS"] {
        sh(&sandbox, &format!("kill -{signal} 1"));
    }
    assert!(!linux::process::wait(sandbox.pidfd(), Duration::from_millis(300)).expect("polled"), "it ended");
    assert_eq!(sh(&sandbox, "grep State /proc/1/status | grep -c T || true"), "0", "nor is it stopped");
    for script in [
        "cat /proc/1/exe > /tmp/exe",
        "cat /proc/1/environ | grep . ",
        "ls /proc/1/fd",
        "cat /proc/1/mem",
        "cat /proc/1/maps | grep .",
        "echo 1000 > /proc/1/oom_score_adj",
    ] {
        sh_fails(&sandbox, script);
    }
    assert!(sandbox.is_running().expect("polled"));
    // What it may do is shut its own instance down, the asking shell perhaps before it has ended by itself.
    run(&sandbox, &["sh", "-c", "kill -TERM 1"]);
    assert!(linux::process::wait(sandbox.pidfd(), Duration::from_secs(10)).expect("polled"), "it did not end");
    sandbox.kill().expect("cleared away");
}

/// Makers may be many threads, and instances do not see one another.
fn many_at_once_and_apart() {
    let places: Vec<_> = (0..8).map(|_| Place::new("")).collect();
    let sandboxes: Vec<_> = std::thread::scope(|scope| {
        let makers: Vec<_> = places
            .iter()
            .zip(0..)
            .map(|(place, number)| {
                scope.spawn(move || {
                    let mut spec = place.spec.clone();
                    spec.uid_base += number * linux::sandbox::IDS;
                    spec.hostname = format!("host-{number}");
                    let mut sandbox = place.create_as(&spec);
                    sandbox.start().expect("starts");
                    sandbox
                })
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().expect("made")).collect()
    });
    for (number, sandbox) in sandboxes.iter().enumerate() {
        assert_eq!(
            sh(sandbox, "hostname; ls /proc | grep -c '^[0-9]*$' | grep -x '[1-6]' >/dev/null"),
            format!("host-{number}")
        );
        sh_fails(sandbox, &format!("ls {}", places[0].spec.root_dir.display()));
    }
    sandboxes.into_iter().for_each(|sandbox| sandbox.kill().expect("killed"));
}

fn nothing_is_inherited() {
    let place = Place::new("#!/bin/sh\nls -l /proc/self/fd\nenv\ncat /proc/self/stat\n");
    // A descriptor without close-on-exec, as a careless library leaves it, and an environment with a secret.
    let careless = fs::File::open("/").expect("opened");
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).expect("set");
    let sandbox = place.start();
    place.wait_for_log("exit code 0");
    let log = place.log();
    let descriptors: Vec<_> = log.lines().filter(|l| l.contains(" -> ")).collect();
    assert_eq!(descriptors.len(), 4, "standard three, and the directory being listed: {log}");
    let inside = sh(&sandbox, "ls -l /proc/self/fd; env");
    assert_eq!(inside.lines().filter(|l| l.contains(" -> ")).count(), 4, "{inside}");
    for text in [log, inside] {
        let variables: Vec<_> = text.lines().filter(|l| l.contains('=') && !l.contains(" -> ")).collect();
        let known = ["PATH=", "HOME=", "USER=", "LOGNAME=", "SHELL=", "LANG=", "PWD=", "SHLVL=", "OLDPWD=", "_="];
        assert!(variables.iter().all(|v| known.iter().any(|k| v.starts_with(k))), "{variables:?}");
    }
    sandbox.kill().expect("killed");
}

fn failures_are_told() {
    let mut place = Place::new("");
    place.spec.hostname = "x".repeat(65);
    assert!(Sandbox::create(&place.spec).expect_err("too long").to_string().contains("hostname"));
    place.spec.hostname = "h".to_owned();
    // A program that is no helper.
    place.spec.helper = Some("/bin/true".into());
    let text = Sandbox::create(&place.spec).expect_err("no helper").to_string();
    assert!(text.contains("linux::helper_main"), "{text}");
    place.spec.helper = Some("/no/such/program".into());
    let text = Sandbox::create(&place.spec).expect_err("no helper").to_string();
    assert!(text.contains("start the helper"), "{text}");
    // A root that is no directory.
    place.spec.helper = None;
    let root = place.directory.path().join("file");
    fs::write(&root, "").expect("written");
    let right = std::mem::replace(&mut place.spec.root_dir, root);
    let text = Sandbox::create(&place.spec).expect_err("a file").to_string();
    assert!(text.contains("root directory"), "{text}");
    place.spec.root_dir = right;
    assert!(cgroup_directories(&place.spec.cgroup_prefix).is_empty(), "nothing is left");
    place.start().kill().expect("killed");
}

fn doctor_finds_this_machine_well() {
    let directory = tempfile::tempdir().expect("a directory");
    let checks = linux::doctor::checks(directory.path());
    let names: Vec<_> = checks.iter().map(|c| c.name.as_str()).collect();
    for name in ["tun device", "privileges", "network namespace", "nested user namespace", "tap", "instance"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let bad: Vec<_> = checks.iter().filter(|c| !c.ok && !c.optional).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(checks.iter().all(|c| c.ok == c.remedy.is_empty()));
    assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0, "nothing is left");
}
