//! A peer that holds a committee key but keeps to no protocol.

use std::net::SocketAddr;
use std::sync::Arc;

use quinn::{ClientConfig, Connection, Endpoint, TokioRuntime};

use super::super::tls::{OwnCertificate, SERVER_NAME};
use super::super::{hello, quic};
use super::*;

/// A connection to node `to` by whoever holds the key of `own`; no Hello was said yet.
pub(super) async fn connect(own: u16, to: u16, address: SocketAddr) -> (Endpoint, Connection) {
    let certificate = OwnCertificate::new(&seed(own)).unwrap();
    let mut client = ClientConfig::new(Arc::new(certificate.client(key(to)).unwrap()));
    client.transport_config(Arc::new(quic::transport_config(&Timing::default())));
    let endpoint = Endpoint::new(
        quic::endpoint_config(&seed(own)),
        None,
        quic::bind(any_port()).unwrap(),
        Arc::new(TokioRuntime),
    )
    .unwrap();
    let connecting = endpoint.connect_with(client, address, SERVER_NAME).unwrap();
    let connection = guarded(connecting).await.unwrap();
    (endpoint, connection)
}

/// Likewise, after the Hello.
pub(super) async fn greeted(own: u16, to: u16, address: SocketAddr) -> (Endpoint, Connection) {
    let (endpoint, connection) = connect(own, to, address).await;
    guarded(hello::greet(&connection, chain())).await.unwrap();
    (endpoint, connection)
}
