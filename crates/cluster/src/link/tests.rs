use std::net::TcpListener;

use super::*;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

#[test]
fn messages_arrive_whole_and_in_order() {
    let (one, other) = pair();
    let (speaker, _hearer) = link::<String>(one).unwrap();
    let (_speaker, mut hearer) = link::<String>(other).unwrap();
    let long = "x".repeat(1 << 20);
    for text in ["a", long.as_str(), "b"] {
        speaker.say(text.to_owned());
    }
    for text in ["a", long.as_str(), "b"] {
        assert_eq!(hearer.hear::<String>().unwrap(), text);
    }
}

#[test]
fn a_closed_connection_is_told_from_a_silent_one() {
    let (one, other) = pair();
    let (_speaker, mut hearer) = link::<String>(other).unwrap();
    drop(one);
    assert!(matches!(hearer.hear::<String>(), Err(Lost::Gone)));
    let (_one, other) = pair();
    let (_speaker, mut hearer) = link::<String>(other).unwrap();
    assert!(matches!(hearer.hear::<String>(), Err(Lost::Silent)));
}

#[test]
fn nonsense_is_an_error() {
    let (mut one, other) = pair();
    let (_speaker, mut hearer) = link::<String>(other).unwrap();
    one.write_all(&[3, 0, 0, 0, b'x', b'y', b'z']).unwrap();
    assert!(matches!(hearer.hear::<String>(), Err(Lost::Garbled(_))));
    let (mut one, other) = pair();
    let (_speaker, mut hearer) = link::<String>(other).unwrap();
    one.write_all(&[255; 16]).unwrap();
    assert!(matches!(hearer.hear::<String>(), Err(Lost::Garbled(_))));
}
