//! How a server is asked whether it takes TLS, where that is not taken for granted (`sslnegotiation=direct`).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::postgres::socket::Socket;

/// The message `SSLRequest`: its length, and the number that stands for it where others have a version.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Asks whether a server takes TLS. If so, the handshake is next on this socket; if not, the start of a session in plain.
///
/// Exactly one byte is read. What somebody on the way may have put behind it becomes part of the handshake, which then
/// fails, and is not taken for words of the server's.
///
/// # Errors
/// The server is gone, or says something else. What it says in an error is not looked at: anybody could have said it.
pub(in crate::postgres) async fn is_offered(socket: &mut Socket) -> io::Result<bool> {
    socket.write_all(&REQUEST).await?;
    let mut answer = [0];
    if socket.read(&mut answer).await? == 0 {
        let said = "the server closed the connection when it was asked for TLS";
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, said));
    }
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        b'E' => Err(io::Error::other("the server answered with an error when it was asked for TLS")),
        _ => {
            let said = "the server's answer makes no sense when it is asked for TLS: is it PostgreSQL?";
            Err(io::Error::new(io::ErrorKind::InvalidData, said))
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;
    use tokio_util::either::Either;

    use super::*;

    /// What comes of an answer, and what the server has heard.
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
    async fn a_server_says_yes_or_no() {
        assert!(after(b"S").await.0.unwrap());
        assert!(!after(b"N").await.0.unwrap());
    }

    #[tokio::test]
    async fn what_stands_behind_the_answer_is_left_for_the_handshake() {
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
        assert!(error.contains("makes no sense"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_is_gone() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.shutdown().await.unwrap();
        let error = is_offered(&mut Either::Right(ours)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
