import Glibc
internal import Synchronization

/// The forks that led to this process, from the first look at them on.
///
/// A fork's child has the memory of its parent and none of its threads: whoever waits for one there
/// waits for ever.
enum Forks {
  private static let counter = Atomic<Int>(0)

  private static let isWatched: Bool = {
    pthread_atfork(nil, nil) { Forks.counter.add(1, ordering: .relaxed) } == 0
  }()

  static var count: Int { isWatched ? counter.load(ordering: .relaxed) : 0 }
}
