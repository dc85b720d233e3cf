use super::*;

/// Connects as many processes as there are agreements, each on a thread.
fn meshes(agreements: &[Agreement]) -> Vec<Result<Mesh>> {
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
    let made: Vec<Mesh> = made.into_iter().map(|mesh| mesh.unwrap()).collect();
    for (index, mesh) in made.iter().enumerate() {
        for (other, socket) in mesh.rows.iter().enumerate() {
            assert_eq!(socket.is_none(), other == index);
        }
    }
    let pairs = [(&made[0].rows[2], &made[2].rows[0]), (&made[0].credits[2], &made[2].credits[0])];
    for (text, (from, to)) in ["rows", "cred"].iter().zip(pairs) {
        from.as_ref().unwrap().write_all(text.as_bytes()).unwrap();
        let mut heard = [0; 4];
        to.as_ref().unwrap().read_exact(&mut heard).unwrap();
        assert_eq!(&heard, text.as_bytes());
    }
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
