//! Asks a server whether it offers TLS, unless `sslnegotiation=direct` skips the question.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::socket::Socket;

/// The message `SSLRequest`: its length, and its code in the place of a protocol version.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Sends an `SSLRequest`. If the result is true, the TLS handshake is next on this socket; otherwise a plain session.
///
/// Reads exactly one byte. Bytes that an attacker injected after it become part of the handshake, which then fails;
/// they are never taken for the server's.
///
/// # Errors
/// The connection is lost, or the answer is invalid. An error message of the server is ignored: it is not
/// authenticated.
pub(crate) async fn is_offered(socket: &mut Socket) -> io::Result<bool> {
    socket.write_all(&REQUEST).await?;
    let mut answer = [0];
    if socket.read(&mut answer).await? == 0 {
        let message = "the server closed the connection in answer to the TLS request";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        b'E' => Err(io::Error::other("the server answered the TLS request with an error")),
        _ => {
            let message = "the server's answer to the TLS request is invalid; it may not be PostgreSQL";
            Err(io::Error::new(io::ErrorKind::InvalidData, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;
    use tokio_util::either::Either;

    use super::*;

    /// The result for an answer, and what the server has received.
    async fn after(answer: &[u8]) -> (io::Result<bool>, Socket) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).await.unwrap();
        let mut socket = Either::Right(ours);
        let offered = is_offered(&mut socket).await;
        let mut heard = [0; 8];
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(i32::from_be_bytes(heard[..4].try_into().unwrap()), 8);
        assert_eq!(i32::from_be_bytes(heard[4..].try_into().unwrap()), 80_877_103);
        (offered, socket)
    }

    #[tokio::test]
    async fn a_server_accepts_or_refuses_tls() {
        assert!(after(b"S").await.0.unwrap());
        assert!(!after(b"N").await.0.unwrap());
    }

    #[tokio::test]
    async fn bytes_after_the_answer_are_left_for_the_handshake() {
        let (offered, mut socket) = after(b"Smore").await;
        assert!(offered.unwrap());
        let mut rest = [0; 4];
        socket.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"more");
    }

    #[tokio::test]
    async fn an_error_is_not_quoted() {
        let error = after(b"E\0\0\0\x14SFATAL\0Msay hello\0\0").await.0.unwrap_err().to_string();
        assert!(error.contains("with an error") && !error.contains("hello"), "{error}");
        let error = after(b"HTTP/1.1 400").await.0.unwrap_err().to_string();
        assert!(error.contains("is invalid"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_gone() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.shutdown().await.unwrap();
        let error = is_offered(&mut Either::Right(ours)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
