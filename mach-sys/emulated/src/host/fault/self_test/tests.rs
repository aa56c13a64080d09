//! The handler's part, on frames that are made up.

use super::answer::{self, Underway};
use super::machine::{self, ADDRESS, FLAG, FLAGS, NAMES, SP};
use super::probe::{Probe, Return, bounds};
use crate::error::SignalFrameError;
use crate::host::context::Context;
use crate::host::sys::call::page_size;
use crate::host::sys::copy;
use crate::host::sys::reservation::Reservation;

const MASK: u64 = 0x55;

/// A frame with place for all registers, and the words that say so.
struct Frame(Vec<u64>);

impl Frame {
    /// Makes the frame that Linux writes for a probe's fault.
    fn of(probe: &Probe) -> Self {
        let mut frame = Self(vec![0; 8192 / 8]);
        machine::make_frame(&mut frame.0, MASK);
        machine::set_registers(&mut frame.context(), &probe.given(), bounds().0);
        frame
    }

    fn context(&mut self) -> Context {
        // SAFETY: the words are those of a frame, and nothing else uses them.
        unsafe { Context::from_raw(machine::context_of(&mut self.0)) }
    }
}

fn probe(how: Return) -> Probe {
    Probe::new(0x7000_0000, how, MASK)
}

fn look(probe: &Probe, frame: &mut Frame, behind: Option<usize>) -> bool {
    Underway::of(probe).look(&frame.context(), probe.page as u64, behind)
}

/// Returns the handler's verdict on a changed frame.
fn verdict(change: impl FnOnce(&mut Frame)) -> Result<(), SignalFrameError> {
    let probe = probe(Return::AsInService);
    let mut frame = Frame::of(&probe);
    change(&mut frame);
    let in_service = look(&probe, &mut frame, Some(40));
    let verdict = probe.verdict.get();
    assert_eq!(
        in_service,
        verdict.is_ok(),
        "a frame that is wrong is never copied"
    );
    verdict
}

#[test]
fn a_frame_as_linux_writes_it_is_answered_in_every_register() {
    for how in [Return::InPlace, Return::AsInService] {
        let probe = probe(how);
        let mut frame = Frame::of(&probe);
        assert_eq!(
            look(&probe, &mut frame, Some(63)),
            how == Return::AsInService
        );
        assert_eq!(probe.verdict.get(), Ok(()));
        Underway::of(&probe).answer(&mut frame.context(), true);
        let (given, answered) = (probe.given(), probe.answered());
        let written = machine::registers(&frame.context());
        for (index, name) in NAMES.into_iter().enumerate() {
            assert_ne!(
                given[index], answered[index],
                "{name} shows whether it takes effect"
            );
            let mask = if index == FLAGS { FLAG } else { u64::MAX };
            assert_eq!((written[index] ^ answered[index]) & mask, 0, "{name}");
        }
        assert_eq!(frame.context().program_counter(), bounds().1);
    }
}

#[test]
fn each_register_that_a_frame_shows_wrong_is_named() {
    for (index, name) in NAMES.into_iter().enumerate() {
        let seen = verdict(|frame| {
            let mut registers = machine::registers(&frame.context());
            registers[index] ^= FLAG;
            machine::set_registers(&mut frame.context(), &registers, bounds().0);
        });
        assert_eq!(seen, Err(SignalFrameError::Shown { register: name }));
    }
}

#[test]
fn each_register_without_effect_is_named() {
    let probe = probe(Return::InPlace);
    for (index, name) in NAMES.into_iter().enumerate() {
        for copied in [false, true] {
            let mut found = probe.answered();
            assert_eq!(super::judge::effect(&found, &found, copied), Ok(()));
            found[index] = probe.given()[index];
            let expected = SignalFrameError::Ignored {
                register: name,
                copied,
            };
            assert_eq!(
                super::judge::effect(&found, &probe.answered(), copied),
                Err(expected)
            );
        }
    }
}

#[test]
fn the_place_the_mask_and_what_lies_behind_the_frame_count() {
    assert_eq!(verdict(|_| ()), Ok(()));
    let elsewhere = verdict(|frame| {
        let registers = machine::registers(&frame.context());
        machine::set_registers(&mut frame.context(), &registers, bounds().0 + 4);
    });
    assert_eq!(elsewhere, Err(SignalFrameError::Location));
    let blocked = verdict(|frame| frame.context().block_signals(0x8000));
    assert_eq!(blocked, Err(SignalFrameError::Mask));
    for (behind, expected) in [
        (None, Ok(())),
        (Some(0), Ok(())),
        (Some(127), Ok(())),
        (Some(1200), Err(SignalFrameError::Behind { bytes: 1200 })),
    ] {
        let probe = probe(Return::AsInService);
        look(&probe, &mut Frame::of(&probe), behind);
        assert_eq!(probe.verdict.get(), expected, "{behind:?}");
    }
    let probe = probe(Return::AsInService);
    Underway::of(&probe).look(&Frame::of(&probe).context(), 0x10, None);
    assert_eq!(probe.verdict.get(), Err(SignalFrameError::Location));
}

/// The system took no notice of the program counter: the way out is a page that can be read.
#[test]
fn a_fault_that_comes_again_finds_its_page_open() {
    let memory = Reservation::new("a test", page_size()).expect("a page");
    let page = memory.base().as_ptr() as usize;
    super::run::close(page);
    let probe = Probe::new(page, Return::AsInService, MASK);
    let mut frame = Frame::of(&probe);
    assert!(look(&probe, &mut frame, None));
    Underway::of(&probe).answer(&mut frame.context(), true);
    machine::set_registers(&mut frame.context(), &probe.answered(), bounds().0);
    assert!(!look(&probe, &mut frame, None));
    let expected = SignalFrameError::Ignored {
        register: machine::PC,
        copied: true,
    };
    assert_eq!(probe.verdict.get(), Err(expected));
    Underway::of(&probe).answer(&mut frame.context(), false);
    assert_eq!(copy::read(page as u64, &mut [1]), Ok(()));
    assert_eq!(machine::registers(&frame.context())[ADDRESS], page as u64);
}

#[test]
fn a_fault_is_the_probes_by_its_place_or_its_address_on_its_thread_alone() {
    let probe = probe(Return::AsInService);
    let (mut there, mut elsewhere) = (Frame::of(&probe), Frame::of(&probe));
    machine::set_registers(&mut elsewhere.context(), &probe.given(), 0x1234);
    let address = probe.page as u64;
    let is = |frame: &mut Frame, code, address| {
        answer::underway(code, address, &frame.context()).is_some()
    };
    assert!(!is(&mut there, 2, address), "none is under way");
    answer::during(&probe, || {
        assert!(is(&mut there, 2, address));
        assert!(is(&mut there, 2, 0), "a host that tells no address");
        assert!(is(&mut elsewhere, 2, address), "a host that tells no place");
        assert!(!is(&mut elsewhere, 2, 0x10), "another fault");
        assert!(
            !is(&mut there, 0, 0x3e8_0000_1234),
            "a signal that was sent"
        );
        std::thread::scope(|scope| {
            let other = || !is(&mut there, 2, address) && !is(&mut elsewhere, 2, address);
            assert!(
                scope.spawn(other).join().expect("no panic"),
                "another thread's"
            );
        });
    });
    assert!(!is(&mut there, 2, address), "it is over");
    assert_eq!(probe.arrivals.get(), 0);
    assert!(probe.answered()[SP] > probe.given()[SP]);
}
