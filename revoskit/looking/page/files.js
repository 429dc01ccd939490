// Reading: an index of all there is, and the masks of one video at a time.
// Files are scripts that call revosIndex and revosVideo, since a page opened from disk may not read any others.
"use strict";

const Files = (() => {
  let wanted = null;  // the video whose file is being read: { id, resolve, reject, script }

  /** A relative address made of a path's parts, each of them escaped. */
  function address(...parts) {
    return parts.join("/").split("/").map(encodeURIComponent).join("/");
  }

  function readScript(source, onError) {
    const script = document.createElement("script");
    script.src = source;
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", () => { script.remove(); onError(); });
    document.head.append(script);
    return script;
  }

  function readIndex() {
    return new Promise((resolve, reject) => {
      window.revosIndex = (index) => resolve(index);
      readScript("data/index.js", () => reject(new Error("data/index.js cannot be read. Write the page again.")));
    });
  }

  /** The masks of a video. A later call supersedes an earlier one, whose promise then stays open for ever. */
  function readVideo(id) {
    return new Promise((resolve, reject) => {
      wanted = { id, resolve };
      readScript(address("data/videos", `${id}.js`), () => {
        if (wanted?.id === id) reject(new Error(`data/videos/${id}.js cannot be read. Write the page again.`));
      });
    });
  }

  window.revosVideo = (video) => {
    if (wanted?.id !== video.id) return;
    const { resolve } = wanted;
    wanted = null;
    resolve(video);
  };

  return { address, readIndex, readVideo };
})();
