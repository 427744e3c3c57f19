import Foundation
import Synchronization

/// Compiled kernels, in memory and on disk, by all that their code depends on.
///
/// A file holds its whole key before the code and a hash of the code behind it, so that a file of the
/// same name that belongs to another text, or that is damaged, is found out and compiled anew.
public final class CUDAKernelCache: Sendable {
  /// What the code of a kernel depends on.
  public struct Key: Sendable, Hashable {
    let text: String

    /// The key of a source under a compiler.
    public init(_ source: CUDASource, options: [String], compiler: String) {
      text = ([compiler] + options + [source.text]).joined(separator: "\u{0}")
    }

    /// Only a file's name, since the file holds the key.
    var name: String { String(CUDAKernelCache.hash(text.utf8), radix: 16) + ".cubin" }
  }

  /// 64 bits of FNV-1a.
  private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }

  private static let mark = Array("swift-attention kernel 1\n".utf8)
  private let directory: URL?
  private let memory = Mutex<[Key: [UInt8]]>([:])

  /// A cache.
  ///
  /// - Parameter directory: The path of where files are kept; nil for memory alone. It is made when
  ///   first needed; one that cannot be written is as good as none.
  public init(directory: String?) {
    self.directory = directory.map { URL(fileURLWithPath: $0, isDirectory: true) }
  }

  /// The code kept for a key, in memory or on disk.
  public func code(for key: Key) -> [UInt8]? {
    if let code = memory.withLock({ $0[key] }) { return code }
    guard let code = read(key) else { return nil }
    memory.withLock { $0[key] = code }
    return code
  }

  /// Keeps a kernel's code, in memory and on disk.
  public func keep(_ code: [UInt8], for key: Key) {
    memory.withLock { $0[key] = code }
    write(code, key)
  }

  private func file(_ key: Key) -> URL? { directory?.appendingPathComponent(key.name) }

  /// Mark, the key's length in eight bytes, key, the code's length in eight bytes, code, its hash.
  private func read(_ key: Key) -> [UInt8]? {
    guard let file = file(key), let data = try? Data(contentsOf: file) else { return nil }
    var rest = Array(data)[...]
    func bits() -> UInt64? {
      guard rest.count >= 8 else { return nil }
      defer { rest = rest.dropFirst(8) }
      return rest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    func number() -> Int? { bits().flatMap { Int(exactly: $0) } }
    guard rest.starts(with: Self.mark) else { return nil }
    rest = rest.dropFirst(Self.mark.count)
    guard
      let length = number(), length <= rest.count,
      rest.prefix(length).elementsEqual(key.text.utf8)
    else { return nil }
    rest = rest.dropFirst(length)
    guard let size = number(), size > 0, size == rest.count - 8 else { return nil }
    let code = Array(rest.prefix(size))
    rest = rest.dropFirst(size)
    return bits() == Self.hash(code) ? code : nil
  }

  private func write(_ code: [UInt8], _ key: Key) {
    guard let directory, let file = file(key) else { return }
    func bytes(_ n: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: n >> (8 * $0)) } }
    let text = Array(key.text.utf8)
    var whole = Self.mark + bytes(UInt64(text.count)) + text
    whole += bytes(UInt64(code.count)) + code + bytes(Self.hash(code))
    try? FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    try? Data(whole).write(to: file, options: .atomic)
  }
}

extension NVRTC {
  /// The kernel's code, compiled where the cache does not have it.
  public func code(of source: CUDASource, cache: CUDAKernelCache) throws(Failure)
    -> [UInt8]
  {
    let key = CUDAKernelCache.Key(
      source, options: Self.options(for: source.architecture),
      compiler: "nvrtc \(version.major).\(version.minor)")
    if let code = cache.code(for: key) { return code }
    let code = try compile(source).cubin
    cache.keep(code, for: key)
    return code
  }
}
