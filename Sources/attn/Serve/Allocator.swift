import Devices

/// The C library's memory, tuned for a process that serves many streams for a long time.
enum Allocator {
  /// Keeps what was freed from staying with the process.
  ///
  /// By default each thread has an arena of its own, up to eight for a processor, and what is freed in
  /// one serves only its thread. Does nothing where the C library is not glibc.
  static func keepSmall() {
    // `malloc.h` is not part of the module Glibc.
    typealias SetOption = @convention(c) (_ option: Int32, _ value: Int32) -> Int32
    guard let set: SetOption = try? DynamicLibrary.process.function("mallopt") else { return }
    let (trimThreshold, mapThreshold, arenas): (Int32, Int32, Int32) = (-1, -3, -8)
    _ = set(arenas, 2)
    _ = set(trimThreshold, 1 << 20)
    // Fixed: otherwise it grows to the largest block that was ever freed.
    _ = set(mapThreshold, 1 << 18)
  }
}
