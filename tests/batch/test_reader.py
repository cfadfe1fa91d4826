import threading

from stylize.batch.reader import Reservations


def test_a_reservation_waits_until_others_are_released():
    room = Reservations(100)
    room.reserve(60)
    assert room.fits(40)
    assert not room.fits(41)
    came = threading.Event()

    def take() -> None:
        room.reserve(41)
        came.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not came.wait(0.05)
    room.release(60)
    assert came.wait(10)
    thread.join()


def test_one_alone_may_be_larger_than_the_limit():
    room = Reservations(100)
    assert room.fits(1000)
    room.reserve(1000)
    assert not room.fits(1)
    room.release(1000)
    assert room.fits(1)
