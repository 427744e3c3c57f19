import CTransport
import Glibc

/// libcurl, found at run time.
///
/// The library is there wherever the Swift toolchain is, which links it. It is driven through its
/// stable C interface; numbers below are those of `curl.h`.
struct LibCurl: @unchecked Sendable {
  typealias Handle = UnsafeMutableRawPointer
  typealias List = UnsafeMutableRawPointer

  // Functions of the library; they stay valid because it is never unloaded.
  let makeHandle: @convention(c) () -> Handle?
  let perform: @convention(c) (Handle) -> Int32
  let cleanUp: @convention(c) (Handle) -> Void
  let errorText: @convention(c) (Int32) -> UnsafePointer<CChar>?
  let append: @convention(c) (List?, UnsafePointer<CChar>) -> List?
  let freeList: @convention(c) (List?) -> Void
  private let setOption: UnsafeMutableRawPointer
  private let getInfo: UnsafeMutableRawPointer

  /// The library, or `nil` where this machine has none.
  static let shared = LibCurl()

  private init?() {
    let library = ["libcurl.so.4", "libcurl-gnutls.so.4"].lazy
      .compactMap { (name: String) in dlopen(name, RTLD_NOW | RTLD_LOCAL) }.first
    guard let library else { return nil }
    func function(_ name: String) -> UnsafeMutableRawPointer? { dlsym(library, name) }
    guard let initialise = function("curl_global_init"), let make = function("curl_easy_init"),
      let set = function("curl_easy_setopt"), let perform = function("curl_easy_perform"),
      let info = function("curl_easy_getinfo"), let cleanUp = function("curl_easy_cleanup"),
      let text = function("curl_easy_strerror"), let append = function("curl_slist_append"),
      let freeList = function("curl_slist_free_all")
    else { return nil }
    typealias Initialise = @convention(c) (Int) -> Int32
    let everything = 3
    guard unsafeBitCast(initialise, to: Initialise.self)(everything) == 0 else { return nil }
    makeHandle = unsafeBitCast(make, to: (@convention(c) () -> Handle?).self)
    self.perform = unsafeBitCast(perform, to: (@convention(c) (Handle) -> Int32).self)
    self.cleanUp = unsafeBitCast(cleanUp, to: (@convention(c) (Handle) -> Void).self)
    errorText = unsafeBitCast(text, to: (@convention(c) (Int32) -> UnsafePointer<CChar>?).self)
    self.append = unsafeBitCast(
      append, to: (@convention(c) (List?, UnsafePointer<CChar>) -> List?).self)
    self.freeList = unsafeBitCast(freeList, to: (@convention(c) (List?) -> Void).self)
    setOption = set
    getInfo = info
  }

  /// The options used, by their numbers.
  enum Option: Int32 {
    case url = 10002
    case writeData = 10001
    case writeFunction = 20011
    case userAgent = 10018
    case lowSpeedLimit = 19
    case lowSpeedTime = 20
    case headers = 10023
    case headerData = 10029
    case followLocation = 52
    case certificates = 10065
    case maximumRedirects = 68
    case connectTimeout = 78
    case headerFunction = 20079
    case noSignal = 99
    case protocols = 181
    case redirectProtocols = 182
  }

  func set(_ handle: Handle, _ option: Option, _ value: Int) {
    _ = transport_set_long(setOption, handle, option.rawValue, value)
  }

  func set(_ handle: Handle, _ option: Option, _ value: UnsafeRawPointer?) {
    _ = transport_set_pointer(setOption, handle, option.rawValue, value)
  }

  func set(_ handle: Handle, _ option: Option, _ text: String) {
    // The library copies strings.
    text.withCString { _ = transport_set_pointer(setOption, handle, option.rawValue, $0) }
  }

  func set(_ handle: Handle, _ option: Option, _ receiver: @escaping transport_receiver) {
    _ = transport_set_receiver(setOption, handle, option.rawValue, receiver)
  }

  /// The status of the last response.
  func status(_ handle: Handle) -> Int {
    var status = 0
    let responseCode: Int32 = 0x200002
    _ = transport_get_long(getInfo, handle, responseCode, &status)
    return status
  }
}
