/// What Python is given to download a wheel.
enum PipDownload {
  /// Downloads `name==version` to a folder and goes on with a piece that is already there.
  ///
  /// pip itself starts every download from its beginning. This program lets pip find the wheel, with
  /// the user's index, proxy and certificates, and asks pip's own session for the missing bytes. It
  /// uses parts of pip that are not promised to stay; where one is gone it lets pip do it all.
  static let program = """
    import hashlib, os, sys, time

    package, folder = sys.argv[1:]
    asked = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--retries", "3",
             "--no-deps", "--only-binary", ":all:", package]

    def plain():
        os.execv(sys.executable, [sys.executable, "-m", "pip", "download", "--progress-bar", "off",
                                  "--dest", folder] + asked)

    def find(command, options):
        session = command.get_default_session(options)
        finder = command._build_package_finder(options=options, session=session)
        name, version = package.split("==")
        found = finder.find_best_candidate(name, SpecifierSet("==" + version)).best_candidate
        if found is None:
            plain()  # pip says why: no such package, or no index reached
        return session, found.link

    def get(session, url, part):
        have = os.path.getsize(part) if os.path.exists(part) else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = "bytes=%d-" % have
        with session.get(url, headers=headers, stream=True) as answer:
            if have and answer.status_code == 416:
                return
            answer.raise_for_status()
            with open(part, "ab" if answer.status_code == 206 else "wb") as file:
                for piece in answer.iter_content(1 << 18):
                    file.write(piece)
                    file.flush()
            if os.path.getsize(part) < int(answer.headers.get("Content-Length", 0)):
                raise RequestException("Connection broken")

    def check(link, part):
        if not link.hash_name:
            return
        digest = hashlib.new(link.hash_name)
        with open(part, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
        if digest.hexdigest() != link.hash:
            os.remove(part)
            sys.exit("ERROR: the wheel of " + package + " has another hash than its index says")

    try:
        from pip._internal.commands import create_command
        from pip._vendor.packaging.specifiers import SpecifierSet
        from pip._vendor.requests.exceptions import RequestException

        command = create_command("download")
        options, _ = command.parse_args(asked)
        with command.main_context():
            session, link = find(command, options)
            path = os.path.join(folder, link.filename)
            url, part = link.url_without_fragment, path + ".part"
            for attempt in range(5):
                try:
                    get(session, url, part)
                    break
                except RequestException:
                    if attempt == 4:
                        raise
                    time.sleep(0.25 * 2 ** attempt)
            check(link, part)
            os.replace(part, path)
    except (ImportError, AttributeError, TypeError):
        plain()
    """
}
