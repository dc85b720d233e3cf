use super::*;

/// Connects as many processes as there are agreements, each on a thread.
fn meshes(agreements: &[Agreement]) -> Vec<Result<Vec<Option<TcpStream>>>> {
    let listeners: Vec<_> =
        agreements.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    let threads = agreements.iter().copied().zip(listeners).enumerate().map(|(i, (own, l))| {
        let addresses = addresses.clone();
        std::thread::spawn(move || connect(i, &addresses, &l, own))
    });
    let threads: Vec<_> = threads.collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn each_process_is_connected_with_each_other() {
    let own = Agreement { plan: 7, attempt: 2 };
    let made = meshes(&[own; 3]);
    for (index, sockets) in made.iter().enumerate() {
        let sockets = sockets.as_ref().unwrap();
        for (other, socket) in sockets.iter().enumerate() {
            assert_eq!(socket.is_none(), other == index);
        }
    }
    let mut from = made[0].as_ref().unwrap()[2].as_ref().unwrap();
    let mut to = made[2].as_ref().unwrap()[0].as_ref().unwrap();
    from.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    to.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}

#[test]
fn another_plan_is_refused() {
    let made = meshes(&[Agreement { plan: 7, attempt: 2 }, Agreement { plan: 8, attempt: 2 }]);
    for one in made {
        let error = one.unwrap_err();
        assert!(error.message().contains("runs plan"), "{error}");
        assert!(error.remedy_text().is_some());
    }
}
